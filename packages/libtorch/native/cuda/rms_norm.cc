// RMSNorm on CUDA: the launches of rms_norm.cu, and the halves of mamba_prune::rms_norm that use them.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "kernel.h"
#include "kernels/norm_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using RmsNormArgs = norm_kernel::RmsNormArgs<void>;

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
  RmsNormArgs a{};
  a.x = float_pointer(x), a.weight = float_pointer(weight), a.y = pointer(y);
  a.x_row = rows.stride, a.y_row = mat(y).stride, a.rows = static_cast<int>(rows.rows), a.eps = static_cast<float>(eps);
  const Kernel& kernel = find_kernel("rms_norm.cu", "rms_norm_forward",
                                     {{"SCALAR", scalar_code(y.scalar_type())},
                                      {"WIDTH", rows.columns},
                                      {"VECTOR", vector_of({x, y}, rows.columns)},
                                      {"HAS_SKIP", 0},
                                      {"THREADS", kNormThreads}});
  kernel.launch({u32(std::min<int64_t>(ceil_div(rows.rows, kNormThreads / 32), int64_t{16} * multiprocessors()))},
                kNormThreads, 0, a);
}

Tensor rms_norm_backward(const Tensor& x, const Tensor& weight, double eps, const Tensor& dy, const Tensor& dskip,
                         const Tensor& dx) {
  const Mat rows = mat(x);
  if (rows.columns > kMostWidth) {
    const Tensor scale = scale_of(x, eps), n = x * scale, given = dy.to(at::kFloat), g = given * weight;
    dx.copy_(scale * (g - n * (g * n).mean(at::IntArrayRef({-1}), true)));
    if (dskip.defined()) dx.add_(dskip);
    return (given * n).reshape({-1, rows.columns}).sum(at::IntArrayRef({0}));
  }
  const int64_t blocks = std::clamp<int64_t>(ceil_div(rows.rows, kNormThreads / 32), 1, int64_t{8} * multiprocessors());
  const Tensor partial = at::empty({blocks, rows.columns}, floats(x));
  RmsNormArgs a{};
  a.x = float_pointer(x), a.dy = pointer(dy), a.dskip = float_pointer(dskip), a.weight = float_pointer(weight),
  a.dx = float_pointer(dx), a.partial = float_pointer(partial);
  a.x_row = rows.stride, a.dy_row = mat(dy).stride, a.dx_row = mat(dx).stride;
  a.dskip_row = dskip.defined() ? mat(dskip).stride : 0, a.rows = static_cast<int>(rows.rows),
  a.eps = static_cast<float>(eps);
  const Kernel& kernel = find_kernel("rms_norm.cu", "rms_norm_backward",
                                     {{"SCALAR", scalar_code(dy.scalar_type())},
                                      {"WIDTH", rows.columns},
                                      {"VECTOR", vector_of({x, dy, dskip, dx}, rows.columns)},
                                      {"HAS_SKIP", dskip.defined()},
                                      {"THREADS", kNormThreads}});
  kernel.launch({u32(blocks)}, kNormThreads, 0, a);
  return reduce_rows(partial);
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
