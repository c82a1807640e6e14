// in_proj(norm(x)) of a block in one kernel for training (Hopper, 16 bits), and the pass back in another.
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

struct InProjTrain {
  at::Tensor norm_weight, norm_bias;  // float32 [model]
  double eps = 0;
  at::Tensor weight;  // of the type of x: [width, model]
};
/** The weights in the order in which the kernels read them; bytes [units, bytes of a unit]. */
at::Tensor in_proj_units(const InProjTrain& p);
/** @param x contiguous [.., model] @param normed norm(x) @param xz contiguous [.., width] */
void in_proj_forward(const InProjTrain& p, const at::Tensor& units, const at::Tensor& x, const at::Tensor& normed,
                     const at::Tensor& xz);
/**
 * dx = the gradient of x by dxz + dout.
 * @return float32 [3, model]: gradients of the normalisation's weight and bias, and the sum of dout over rows
 */
at::Tensor in_proj_backward(const InProjTrain& p, const at::Tensor& units, const at::Tensor& x, const at::Tensor& dxz,
                            const at::Tensor& dout, const at::Tensor& dx);

}  // namespace mamba_prune::cuda
