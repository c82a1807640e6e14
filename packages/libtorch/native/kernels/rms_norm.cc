// mamba_prune::rms_norm: x / sqrt(mean(x^2) + eps) * weight over the last dimension in one pass, and its backward pass.
// Keeps x alone. Device code registers rms_norm_forward and rms_norm_backward; the CPU's are here, on
// rms_norm_kernel.h.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "kernel_table.h"
#include "op_util.h"
#include "row_chunks.h"

namespace mamba_prune::rms_norm_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T> RmsNormArgs<T> args_of(const Tensor& x, const Tensor& weight, double eps, Tensor& out) {
  RmsNormArgs<T> a{};
  a.columns = weight.numel(), a.eps = static_cast<T>(eps);
  a.rows = x.numel() / std::max<int64_t>(1, a.columns);
  a.x = data_or_null<T>(x), a.weight = data_or_null<T>(weight), a.out = data_or_null<T>(out);
  a.rows_per_chunk = rows_per_chunk(a.rows, a.columns);
  return a;
}

Tensor cpu_forward(const Tensor& x_, const Tensor& weight_, double eps) {
  const Tensor x = x_.contiguous(), weight = weight_.contiguous();
  Tensor y = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm_forward", [&] {
    const auto a = args_of<scalar_t>(x, weight, eps, y);
    run_chunks(a, kernels<scalar_t>().rms_forward);
  });
  return y;
}

std::tuple<Tensor, Tensor> cpu_backward(const Tensor& grad, const Tensor& x_, const Tensor& weight_, double eps) {
  const Tensor x = x_.contiguous(), weight = weight_.contiguous(), dy = grad.contiguous();
  Tensor dx = at::empty(x.sizes(), x.options()), sums;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm_backward", [&] {
    auto a = args_of<scalar_t>(x, weight, eps, dx);
    sums = at::zeros({chunks_of(a), a.columns}, x.options());
    a.grad_y = data_or_null<scalar_t>(dy), a.sums = data_or_null<scalar_t>(sums);
    run_chunks(a, kernels<scalar_t>().rms_backward);
  });
  return {dx, sums.sum(0)};
}

Tensor call_forward(const Tensor& x, const Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::rms_norm_forward", "")
                             .typed<Tensor(const Tensor&, const Tensor&, double)>();
  return op.call(x, weight, eps);
}
std::tuple<Tensor, Tensor> call_backward(const Tensor& grad, const Tensor& x, const Tensor& weight, double eps) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::rms_norm_backward", "")
                             .typed<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, double)>();
  return op.call(grad, x, weight, eps);
}

void check(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK(x.dim() >= 1, "rms_norm: got a scalar x, expected [..., channels].");
  check_floating("rms_norm", "x", x);
  TORCH_CHECK(!x.is_cuda() || x.scalar_type() == at::kFloat, "rms_norm: got x of dtype ", x.scalar_type(),
              " on a GPU, expected float32. Convert it first.");
  check_tensor("rms_norm", "weight", weight, {x.size(-1)}, "[channels]", x);
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, double eps) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    return call_forward(x, weight, eps);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "rms_norm: got backward with create_graph, expected first derivatives only. Second derivatives are not "
                "implemented; call backward without create_graph.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(3);
    at::AutoDispatchBelowADInplaceOrView below;
    auto [dx, dweight] = call_backward(grads[0], s[0], s[1], ctx->saved_data["eps"].toDouble());
    return {dx, dweight, Tensor()};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& x, const Tensor& weight, double eps) {
  check(x, weight);
  return call_forward(x, weight, eps);
}
Tensor with_autograd(const Tensor& x, const Tensor& weight, double eps) {
  if (!any_requires_grad({x, weight})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(x, weight, eps);
  }
  check(x, weight);
  return RmsNorm::apply(x, weight, eps);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor");
  m.def("rms_norm_forward(Tensor x, Tensor weight, float eps) -> Tensor");
  m.def("rms_norm_backward(Tensor grad_y, Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("rms_norm", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("rms_norm", with_autograd); }
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("rms_norm_forward", cpu_forward);
  m.impl("rms_norm_backward", cpu_backward);
}

}  // namespace mamba_prune::rms_norm_op
