// RMSNorm on CUDA: the launches of rms_norm.cu, and the halves of mamba_prune::rms_norm that use them.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <tuple>

#include "kernels/norm_interface.h"
#include "norm_launch.h"

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using RmsNormArgs = norm_kernel::RmsNormArgs<void>;

constexpr NormKernels kRmsNorm{"rms_norm.cu", "rms_norm_forward", "rms_norm_backward"};

// A lane holds its part of a row, and a block's sums lie in shared memory: wider rows go through libtorch's operators.
constexpr int64_t kMostWidth = 2048;

Tensor scale_of(const Tensor& x, double eps) { return x.square().mean(at::IntArrayRef({-1}), true).add(eps).rsqrt(); }

}  // namespace

void rms_norm_forward(const Tensor& x, const Tensor& weight, double eps, const Tensor& y) {
  const Mat rows = mat(x);
  if (rows.rows == 0) return;
  if (rows.columns > kMostWidth) {
    y.copy_(x * scale_of(x, eps) * weight);
    return;
  }
  run_norm_forward(kRmsNorm, norm_launch::args_of<RmsNormArgs>(x, weight, eps), x, y);
}

Tensor rms_norm_backward(const Tensor& x, const Tensor& weight, double eps, const Tensor& dy, const Tensor& dskip,
                         const Tensor& dx) {
  const int64_t width = x.size(-1);
  if (width > kMostWidth) {
    const Tensor scale = scale_of(x, eps), n = x * scale, given = dy.to(at::kFloat), g = given * weight;
    dx.copy_(scale * (g - n * (g * n).mean(at::IntArrayRef({-1}), true)));
    if (dskip.defined()) dx.add_(dskip);
    return (given * n).reshape({-1, width}).sum(at::IntArrayRef({0}));
  }
  return run_norm_backward(kRmsNorm, norm_launch::args_of<RmsNormArgs>(x, weight, eps), 1, x, dy, dskip, dx);
}

namespace {

Tensor forward(const Tensor& x_, const Tensor& weight, double eps) {
  const c10::DeviceGuard guard(x_.device());
  const Tensor x = x_.contiguous(), y = at::empty(x.sizes(), x.options());
  rms_norm_forward(x, weight.contiguous(), eps, y);
  return y;
}

std::tuple<Tensor, Tensor> backward(const Tensor& grad, const Tensor& x_, const Tensor& weight, double eps) {
  const c10::DeviceGuard guard(x_.device());
  const Tensor x = x_.contiguous(), dx = at::empty(x.sizes(), x.options());
  const Tensor dweight = rms_norm_backward(x, weight.contiguous(), eps, grad.contiguous(), Tensor(), dx);
  return {dx, dweight};
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("rms_norm_forward", forward);
  m.impl("rms_norm_backward", backward);
}

}  // namespace mamba_prune::cuda
