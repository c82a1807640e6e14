// LayerNorm on CUDA, for the fused branches: the launches of layer_norm.cu.
#include "kernels/norm_interface.h"
#include "norm_launch.h"

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using NormArgs = norm_kernel::NormArgs<void>;

constexpr NormKernels kLayerNorm{"layer_norm.cu", "norm_forward", "norm_backward"};

}  // namespace

void norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, const Tensor& y) {
  if (mat(x).rows == 0) return;
  auto a = norm_launch::args_of<NormArgs>(x, weight, eps);
  a.bias = float_pointer(bias);
  run_norm_forward(kLayerNorm, a, x, y);
}

Tensor norm_backward(const Tensor& x, const Tensor& weight, double eps, const Tensor& dy, const Tensor& dskip,
                     const Tensor& dx) {
  const int64_t sums = dskip.defined() ? 3 : 2;
  return run_norm_backward(kLayerNorm, norm_launch::args_of<NormArgs>(x, weight, eps), sums, x, dy, dskip, dx)
      .view({sums, x.size(-1)});
}

}  // namespace mamba_prune::cuda
