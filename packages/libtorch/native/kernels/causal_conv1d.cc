// mamba_prune::causal_conv1d: schema, argument checks and autograd. Device code registers the inner operators
// causal_conv1d_forward and causal_conv1d_backward (CPU: causal_conv1d_cpu.cc).
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "conv_args.h"
#include "op_util.h"

namespace mamba_prune::causal_conv1d_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor call_forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::causal_conv1d_forward", "")
                             .typed<Tensor(const Tensor&, const Tensor&, const OptionalTensor&, bool)>();
  return op.call(x, weight, bias, silu);
}

std::tuple<Tensor, Tensor, Tensor> call_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                                 const OptionalTensor& bias, bool silu) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::causal_conv1d_backward", "")
                             .typed<std::tuple<Tensor, Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                                                       const OptionalTensor&, bool)>();
  return op.call(grad, x, weight, bias, silu);
}

void check(const Tensor& x, const Tensor& weight, const OptionalTensor& bias) {
  const char* op = "causal_conv1d";
  TORCH_CHECK(x.dim() == 3 && x.size(1) > 0 && x.size(2) > 0, op, ": got x of shape ", x.sizes(),
              ", expected [batch, length, channels] with length and channels above 0.");
  check_floating(op, "x", x);
  TORCH_CHECK(weight.dim() == 3 && weight.size(0) == x.size(2) && weight.size(1) == 1, op, ": got weight of shape ",
              weight.sizes(), ", expected [channels, 1, taps] with channels = ", x.size(2), " as in x.");
  const int64_t taps = weight.size(2);
  TORCH_CHECK(taps >= 1 && taps <= kConvMaxTaps, op, ": got a weight with ", taps, " taps, expected 1 to ",
              kConvMaxTaps, ".");
  check_parameter(op, "weight", weight, {x.size(2), 1, taps}, "[channels, 1, taps]", x);
  check_parameter(op, "bias", defined_or_empty(bias), {x.size(2)}, "[channels]", x);
}

class CausalConv1d : public torch::autograd::Function<CausalConv1d> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const OptionalTensor& bias,
                        bool silu) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, weight, defined_or_empty(bias)});
    ctx->saved_data["silu"] = silu;
    return call_forward(x, weight, bias, silu);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(
        !at::GradMode::is_enabled(),
        "causal_conv1d: got backward with create_graph, expected first derivatives only. Second derivatives are not "
        "implemented; call backward without create_graph.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(4);
    at::AutoDispatchBelowADInplaceOrView below;
    auto [dx, dweight, dbias] = call_backward(grads[0], s[0], s[1], optional(s[2]), ctx->saved_data["silu"].toBool());
    return {dx, dweight, dbias, Tensor()};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  check(x, weight, bias);
  return call_forward(x, weight, bias, silu);
}

Tensor with_autograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  if (!any_requires_grad({x, weight, defined_or_empty(bias)})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(x, weight, bias, silu);
  }
  check(x, weight, bias);
  return CausalConv1d::apply(x, weight, bias, silu);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("causal_conv1d(Tensor x, Tensor weight, Tensor? bias=None, bool silu=True) -> Tensor");
  m.def("causal_conv1d_forward(Tensor x, Tensor weight, Tensor? bias, bool silu) -> Tensor");
  m.def(
      "causal_conv1d_backward(Tensor grad_y, Tensor x, Tensor weight, Tensor? bias, bool silu) "
      "-> (Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("causal_conv1d", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("causal_conv1d", with_autograd); }

}  // namespace mamba_prune::causal_conv1d_op
