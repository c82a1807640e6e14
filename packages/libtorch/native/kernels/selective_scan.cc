// mamba_prune::selective_scan: schema, argument checks and autograd; no arithmetic. The work is in the inner
// operators selective_scan_forward and selective_scan_backward, which every device registers for itself
// (CPU: selective_scan_cpu.cc), so that this file serves all of them.
//
// Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", eq. 2 and sec. 3.2.
// As in the authors' CUDA code A is passed itself (negative for a decaying state), not its logarithm.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "op_util.h"

namespace mamba_prune::selective_scan_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Forward = std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                   const Tensor&, const OptionalTensor&, const OptionalTensor&,
                                                   const OptionalTensor&, bool, const OptionalTensor&, bool);
using Backward = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>(
    const OptionalTensor&, const OptionalTensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
    const Tensor&, const OptionalTensor&, const OptionalTensor&, const OptionalTensor&, bool, const OptionalTensor&,
    const OptionalTensor&);

// Looked up once per signature; each inner operator has its own.
template <class Signature> const auto& find(const char* name) {
  static const auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, "").template typed<Signature>();
  return handle;
}

std::tuple<Tensor, Tensor, Tensor> call_forward(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                                const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                                const OptionalTensor& delta_bias, bool softplus,
                                                const OptionalTensor& initial_state, bool save) {
  return find<Forward>("mamba_prune::selective_scan_forward")
      .call(u, delta, A, B, C, D, z, delta_bias, softplus, initial_state, save);
}

void check(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
           const OptionalTensor& D, const OptionalTensor& z, const OptionalTensor& delta_bias,
           const OptionalTensor& initial_state) {
  const char* op = "selective_scan";
  TORCH_CHECK(u.dim() == 3, op, ": got u of shape ", u.sizes(), ", expected [batch, length, channels].");
  check_floating(op, "u", u);
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2);
  TORCH_CHECK(length > 0 && channels > 0, op, ": got u of shape ", u.sizes(),
              ", expected length and channels above 0.");
  TORCH_CHECK(A.dim() == 2 && A.size(0) == channels && A.size(1) > 0, op, ": got A of shape ", A.sizes(),
              ", expected [channels, states] with channels = ", channels, " as in u, states above 0.");
  const int64_t states = A.size(1);
  check_parameter(op, "A", A, {channels, states}, "[channels, states]", u);
  check_tensor(op, "delta", delta, {batch, length, channels}, "[batch, length, channels]", u);
  check_tensor(op, "z", defined_or_empty(z), {batch, length, channels}, "[batch, length, channels]", u);
  check_tensor(op, "B", B, {batch, length, states}, "[batch, length, states]", u);
  check_tensor(op, "C", C, {batch, length, states}, "[batch, length, states]", u);
  check_parameter(op, "D", defined_or_empty(D), {channels}, "[channels]", u);
  check_parameter(op, "delta_bias", defined_or_empty(delta_bias), {channels}, "[channels]", u);
  check_parameter(op, "initial_state", defined_or_empty(initial_state), {batch, channels, states},
                  "[batch, channels, states]", u);
}

class SelectiveScan : public torch::autograd::Function<SelectiveScan> {
 public:
  // Absent tensors must stay optional here: PyTorch 1.13 asks undefined ones for their device.
  static variable_list forward(AutogradContext* ctx, const Tensor& u, const Tensor& delta, const Tensor& A,
                               const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                               const OptionalTensor& delta_bias, bool softplus, const OptionalTensor& initial_state) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, last, checkpoints] = call_forward(u, delta, A, B, C, D, z, delta_bias, softplus, initial_state, true);
    ctx->save_for_backward({u, delta, A, B, C, defined_or_empty(D), defined_or_empty(z), defined_or_empty(delta_bias),
                            defined_or_empty(initial_state), checkpoints});
    ctx->saved_data["softplus"] = softplus;
    ctx->set_materialize_grads(false);  // last_state is rarely used: its gradient stays undefined
    return {y, last};
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(
        !at::GradMode::is_enabled(),
        "selective_scan: got backward with create_graph, expected first derivatives only. Second derivatives are "
        "not implemented; call backward without create_graph.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined() && !grads[1].defined()) return variable_list(10);
    at::AutoDispatchBelowADInplaceOrView below;
    auto [du, ddelta, dA, dB, dC, dD, dz, dbias, dinitial] =
        find<Backward>("mamba_prune::selective_scan_backward")
            .call(optional(grads[0]), optional(grads[1]), s[0], s[1], s[2], s[3], s[4], optional(s[5]), optional(s[6]),
                  optional(s[7]), ctx->saved_data["softplus"].toBool(), optional(s[8]), optional(s[9]));
    return {du, ddelta, dA, dB, dC, dD, dz, dbias, Tensor(), dinitial};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
std::tuple<Tensor, Tensor> plain(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                 const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                 const OptionalTensor& delta_bias, bool delta_softplus,
                                 const OptionalTensor& initial_state) {
  check(u, delta, A, B, C, D, z, delta_bias, initial_state);
  auto [y, last, checkpoints] = call_forward(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, false);
  return {y, last};
}

std::tuple<Tensor, Tensor> with_autograd(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                         const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                         const OptionalTensor& delta_bias, bool delta_softplus,
                                         const OptionalTensor& initial_state) {
  if (!any_requires_grad({u, delta, A, B, C, defined_or_empty(D), defined_or_empty(z), defined_or_empty(delta_bias),
                          defined_or_empty(initial_state)})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state);
  }
  check(u, delta, A, B, C, D, z, delta_bias, initial_state);
  const variable_list out = SelectiveScan::apply(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state);
  return {out[0], out[1]};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D=None, Tensor? z=None, "
      "Tensor? delta_bias=None, bool delta_softplus=False, Tensor? initial_state=None) -> (Tensor y, Tensor "
      "last_state)");
  m.def(
      "selective_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
      "Tensor? delta_bias, bool delta_softplus, Tensor? initial_state, bool save) "
      "-> (Tensor y, Tensor last_state, Tensor checkpoints)");
  m.def(
      "selective_scan_backward(Tensor? grad_y, Tensor? grad_last_state, Tensor u, Tensor delta, Tensor A, Tensor B, "
      "Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, bool delta_softplus, Tensor? initial_state, "
      "Tensor? checkpoints) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("selective_scan", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("selective_scan", with_autograd); }

}  // namespace mamba_prune::selective_scan_op
