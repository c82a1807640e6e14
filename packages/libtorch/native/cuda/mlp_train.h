// The MLP branch of a block in two kernels for training (Hopper, 16 bits): nothing of the neurons' width is kept for
// the backward pass, or read by it.
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

/** Whether the kernels take this d_model, this width of the packed rows and this type on the current device. */
bool mlp_train_runs(int64_t model, int64_t width, at::ScalarType type);

struct MlpTrain {
  at::Tensor norm_weight, norm_bias;  // float32 [model]
  double eps = 0;
  at::Tensor fc1, fc2;      // of the type of x: [width, model], [model, width]
  at::Tensor bias1, bias2;  // float32: [neurons], [model]
  at::Tensor scale;         // of the branch: float32 [batch], or undefined
};
/** fc1, its bias and fc2 in the order in which the kernels read them; bytes [units, bytes of a unit]. */
at::Tensor mlp_train_units(const MlpTrain& m);
/** out = x + scale fc2(gelu(fc1(norm(x)))). @param x, out contiguous [batch, length, model] */
void mlp_train_forward(const MlpTrain& m, const at::Tensor& units, const at::Tensor& x, const at::Tensor& out);

struct MlpTrainGradients {
  at::Tensor normed, dx;       // norm(x), and the gradient of x with the residual's, [batch, length, model]
  at::Tensor hidden, dbefore;  // behind GELU times scale, and the gradient before GELU, [batch, length, width]
  at::Tensor dbias1;           // float32 [width]
  // float32 [3, model]: gradients of the normalisation's weight and bias, and the sum of dout over rows.
  at::Tensor norm;
};
/** @param dout gradient of the branch's result, as x */
MlpTrainGradients mlp_train_backward(const MlpTrain& m, const at::Tensor& units, const at::Tensor& x,
                                     const at::Tensor& dout);

}  // namespace mamba_prune::cuda
