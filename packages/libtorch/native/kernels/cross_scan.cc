// mamba_prune::cross_scan: schema, argument checks and autograd of the selective scan of a grid in four directions,
// added up; no arithmetic. The work is in cross_scan_forward and cross_scan_backward (CPU: cross_scan_cpu.cc, CUDA:
// native/cuda/cross_scan_cuda.cc).
//
// Liu et al. 2024, "VMamba: Visual State Space Model", sec. 4.2: rows, columns, and both from their ends. Positions lie
// row by row in all tensors; only the order in which they are scanned differs.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "op_util.h"

namespace mamba_prune::cross_scan_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

using Forward = std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                           const Tensor&, const Tensor&, int64_t, bool);
using Backward = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>(const Tensor&, const Tensor&,
                                                                                    const Tensor&, const Tensor&,
                                                                                    const Tensor&, const Tensor&,
                                                                                    const Tensor&, const Tensor&,
                                                                                    int64_t, const OptionalTensor&);

std::tuple<Tensor, Tensor> call_forward(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                        const Tensor& C, const Tensor& D, const Tensor& delta_bias, int64_t height,
                                        bool save) {
  static const auto handle =
      c10::Dispatcher::singleton().findSchemaOrThrow("mamba_prune::cross_scan_forward", "").typed<Forward>();
  return handle.call(u, delta, A, B, C, D, delta_bias, height, save);
}

void check(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const Tensor& D,
           const Tensor& delta_bias, int64_t height) {
  const char* op = "cross_scan";
  TORCH_CHECK(u.dim() == 3, op, ": got u of shape ", u.sizes(), ", expected [batch, height * width, channels].");
  check_floating(op, "u", u);
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2);
  TORCH_CHECK(length > 0 && channels > 0, op, ": got u of shape ", u.sizes(),
              ", expected positions and channels above 0.");
  TORCH_CHECK(height > 0 && length % height == 0, op, ": got height ", height, " for ", length,
              " positions, expected a divisor.");
  TORCH_CHECK(length <= INT32_MAX, op, ": got ", length, " positions, expected fewer than 2^31.");
  TORCH_CHECK(A.dim() == 2 && A.size(0) == 4 * channels && A.size(1) > 0, op, ": got A of shape ", A.sizes(),
              ", expected [4 * channels, states] with channels = ", channels, " as in u, states above 0.");
  const int64_t states = A.size(1);
  check_parameter(op, "A", A, {4 * channels, states}, "[4 * channels, states]", u);
  check_tensor(op, "delta", delta, {4, batch, length, channels}, "[4, batch, positions, channels]", u);
  check_tensor(op, "B", B, {batch, length, 4, states}, "[batch, positions, 4, states]", u);
  check_tensor(op, "C", C, {batch, length, 4, states}, "[batch, positions, 4, states]", u);
  check_parameter(op, "D", D, {4 * channels}, "[4 * channels]", u);
  check_parameter(op, "delta_bias", delta_bias, {4 * channels}, "[4 * channels]", u);
}

class CrossScan : public torch::autograd::Function<CrossScan> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                        const Tensor& C, const Tensor& D, const Tensor& delta_bias, int64_t height) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, checkpoints] = call_forward(u, delta, A, B, C, D, delta_bias, height, true);
    ctx->save_for_backward({u, delta, A, B, C, D, delta_bias, checkpoints});
    ctx->saved_data["height"] = height;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(
        !at::GradMode::is_enabled(),
        "cross_scan: got backward with create_graph, expected first derivatives only. Second derivatives are not "
        "implemented; call backward without create_graph.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(8);
    static const auto handle =
        c10::Dispatcher::singleton().findSchemaOrThrow("mamba_prune::cross_scan_backward", "").typed<Backward>();
    at::AutoDispatchBelowADInplaceOrView below;
    auto [du, ddelta, dA, dB, dC, dD, dbias] = handle.call(grads[0], s[0], s[1], s[2], s[3], s[4], s[5], s[6],
                                                           ctx->saved_data["height"].toInt(), optional(s[7]));
    return {du, ddelta, dA, dB, dC, dD, dbias, Tensor()};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const Tensor& D,
             const Tensor& delta_bias, int64_t height) {
  check(u, delta, A, B, C, D, delta_bias, height);
  return std::get<0>(call_forward(u, delta, A, B, C, D, delta_bias, height, false));
}

Tensor with_autograd(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                     const Tensor& D, const Tensor& delta_bias, int64_t height) {
  if (!any_requires_grad({u, delta, A, B, C, D, delta_bias})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(u, delta, A, B, C, D, delta_bias, height);
  }
  check(u, delta, A, B, C, D, delta_bias, height);
  return CrossScan::apply(u, delta, A, B, C, D, delta_bias, height);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "cross_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, int height) -> "
      "Tensor");
  m.def(
      "cross_scan_forward(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor delta_bias, "
      "int height, bool save) -> (Tensor y, Tensor checkpoints)");
  m.def(
      "cross_scan_backward(Tensor grad_y, Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, "
      "Tensor delta_bias, int height, Tensor? checkpoints) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, "
      "Tensor)");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("cross_scan", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("cross_scan", with_autograd); }

}  // namespace mamba_prune::cross_scan_op
