// mamba_prune::bias_gelu: gelu(x + bias) in one pass, and its backward pass with the bias gradient. Keeps x, not the
// output. Device code registers bias_gelu_forward and bias_gelu_backward; the CPU's are here, on gelu_kernel.h.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "kernel_table.h"
#include "op_util.h"
#include "row_chunks.h"
#include "training_parts.h"

namespace mamba_prune::bias_gelu_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T> GeluArgs<T> args_of(const Tensor& x, const Tensor& bias, Tensor& out) {
  GeluArgs<T> a{};
  a.columns = bias.numel();
  a.rows = x.numel() / std::max<int64_t>(1, a.columns);
  a.x = data_or_null<T>(x), a.bias = data_or_null<T>(bias), a.out = data_or_null<T>(out);
  a.rows_per_chunk = rows_per_chunk(a.rows, a.columns);
  return a;
}

}  // namespace

Tensor cpu_forward(const Tensor& x_, const Tensor& bias_) {
  const Tensor x = x_.contiguous(), bias = bias_.contiguous();
  Tensor y = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "bias_gelu_forward", [&] {
    const auto a = args_of<scalar_t>(x, bias, y);
    run_chunks(a, kernels<scalar_t>().gelu_forward);
  });
  return y;
}

std::tuple<Tensor, Tensor> cpu_backward(const Tensor& grad, const Tensor& x_, const Tensor& bias_) {
  const Tensor x = x_.contiguous(), bias = bias_.contiguous(), dy = grad.contiguous();
  Tensor dx = at::empty(x.sizes(), x.options()), sums;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "bias_gelu_backward", [&] {
    auto a = args_of<scalar_t>(x, bias, dx);
    sums = at::zeros({chunks_of(a), a.columns}, x.options());
    a.grad_y = data_or_null<scalar_t>(dy), a.sums = data_or_null<scalar_t>(sums);
    run_chunks(a, kernels<scalar_t>().gelu_backward);
  });
  return {dx, sums.sum(0)};
}

namespace {

Tensor call_forward(const Tensor& x, const Tensor& bias) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::bias_gelu_forward", "")
                             .typed<Tensor(const Tensor&, const Tensor&)>();
  return op.call(x, bias);
}
std::tuple<Tensor, Tensor> call_backward(const Tensor& grad, const Tensor& x, const Tensor& bias) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::bias_gelu_backward", "")
                             .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&)>();
  return op.call(grad, x, bias);
}

void check(const Tensor& x, const Tensor& bias) {
  TORCH_CHECK(x.dim() >= 1, "bias_gelu: got a scalar x, expected [..., channels].");
  check_floating("bias_gelu", "x", x);
  check_parameter("bias_gelu", "bias", bias, {x.size(-1)}, "[channels]", x);
}

class BiasGelu : public torch::autograd::Function<BiasGelu> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, bias});
    return call_forward(x, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(
        !at::GradMode::is_enabled(),
        "bias_gelu: got backward with create_graph, expected first derivatives only. Second derivatives are not "
        "implemented; call backward without create_graph.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(2);
    at::AutoDispatchBelowADInplaceOrView below;
    auto [dx, dbias] = call_backward(grads[0], s[0], s[1]);
    return {dx, dbias};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& x, const Tensor& bias) {
  check(x, bias);
  return call_forward(x, bias);
}
Tensor with_autograd(const Tensor& x, const Tensor& bias) {
  if (!any_requires_grad({x, bias})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(x, bias);
  }
  check(x, bias);
  return BiasGelu::apply(x, bias);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("bias_gelu(Tensor x, Tensor bias) -> Tensor");
  m.def("bias_gelu_forward(Tensor x, Tensor bias) -> Tensor");
  m.def("bias_gelu_backward(Tensor grad_y, Tensor x, Tensor bias) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("bias_gelu", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("bias_gelu", with_autograd); }
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("bias_gelu_forward", cpu_forward);
  m.impl("bias_gelu_backward", cpu_backward);
}

}  // namespace mamba_prune::bias_gelu_op
