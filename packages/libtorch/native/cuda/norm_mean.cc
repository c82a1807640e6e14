// mamba_prune::norm_mean on CUDA: the mean over tokens of their layer normalisation, float32 [batch, channels].
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <utility>

#include "../kernels/op_util.h"
#include "kernel.h"
#include "kernels/norm_mean_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::norm_mean_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using NormMeanArgs = norm_mean_kernel::NormMeanArgs<void>;

constexpr const char* kName = "norm_mean";

void check(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_rows(kName, x);
  check_shape(kName, "weight", weight, {x.size(2)}, at::kFloat, x);
  check_shape(kName, "bias", bias, {x.size(2)}, at::kFloat, x);
}

void run(const char* function, const Tensor& x, const Tensor& other, NormMeanArgs a) {
  if (x.size(0) == 0) return;
  a.x = pointer(x), a.length = static_cast<int>(x.size(1));
  find_kernel(
      "norm_mean.cu", function,
      {{"SCALAR", scalar_code(x.scalar_type())}, {"WIDTH", x.size(2)}, {"VECTOR", vector_of({x, other}, x.size(2))}})
      .launch({u32(x.size(0))}, norm_mean_kernel::kThreads, 0, a);
}

// The mean of the normalised tokens, and the result.
std::pair<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const Tensor mean = at::empty({x.size(0), x.size(2)}, floats(x)), out = at::empty_like(mean);
  NormMeanArgs a{};
  a.weight = float_pointer(weight), a.bias = float_pointer(bias), a.mean = float_pointer(mean),
  a.out = float_pointer(out), a.eps = static_cast<float>(eps);
  run("norm_mean_forward", x, x, a);
  return {mean, out};
}

class NormMean : public torch::autograd::Function<NormMean> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(x.device());
    const auto [mean, out] = norm_mean_op::forward(x, weight, bias, eps);
    ctx->save_for_backward({x, weight, bias, mean});
    ctx->saved_data["eps"] = eps;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), kName,
                ": got backward with create_graph, expected first derivatives only.");
    const variable_list s = ctx->get_saved_variables();
    if (!grads[0].defined()) return variable_list(4);
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor &x = s[0], &weight = s[1], &mean = s[3], dout = grads[0].contiguous();
    const c10::DeviceGuard guard(x.device());
    const int64_t width = x.size(2);
    const Tensor dx = at::empty_like(x), partial = at::empty({x.size(0), 2 * width}, floats(x));
    NormMeanArgs a{};
    a.weight = float_pointer(weight), a.mean = float_pointer(mean), a.dout = float_pointer(dout), a.dx = pointer(dx);
    a.partial = float_pointer(partial), a.eps = static_cast<float>(ctx->saved_data["eps"].toDouble());
    run("norm_mean_backward", x, dx, a);
    const Tensor sums = reduce_rows(partial);
    return {dx, sums.narrow(0, 0, width), sums.narrow(0, width, width), Tensor()};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& x_, const Tensor& weight, const Tensor& bias, double eps) {
  const c10::DeviceGuard guard(x_.device());
  const Tensor x = x_.contiguous();
  check(x, weight, bias);
  return forward(x, weight, bias, eps).second;
}
Tensor with_autograd(const Tensor& x_, const Tensor& weight, const Tensor& bias, double eps) {
  if (!any_requires_grad({x_, weight, bias})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(x_, weight, bias, eps);
  }
  const Tensor x = x_.contiguous();
  check(x, weight, bias);
  return NormMean::apply(x, weight, bias, eps);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("norm_mean(Tensor x, Tensor weight, Tensor bias, float eps) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("norm_mean", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) { m.impl("norm_mean", with_autograd); }

}  // namespace mamba_prune::cuda::norm_mean_op
