// x_proj and dt_proj of an SSM in one kernel each way for training (16 bits; proj_forward and proj_backward on Hopper).
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

/** Sizes of x_proj's result, as packed: columns of rank_width, then B and C. */
struct ProjSizes {
  int64_t width, rank_width, states, columns;
};
/** Whether the kernels take such sizes in a type on the current device. */
bool projections_run(const ProjSizes& s, at::ScalarType type);

/** Room for the weights in the order in which the kernels read them. */
at::Tensor proj_panels(const at::Tensor& x_proj);
/** Fills it; allocates nothing. @param x_proj [columns, width] @param dt_proj [width, rank_width] */
void proj_pack(const at::Tensor& x_proj, const at::Tensor& dt_proj, const at::Tensor& panels);
/** projected = u x_proj^T, delta = (its first columns) dt_proj^T. @param u contiguous [batch, length, width] */
void proj_forward(const at::Tensor& panels, const at::Tensor& u, const at::Tensor& projected, const at::Tensor& delta);
/**
 * The gradient of `projected`.
 * @param states partial sums of the gradients of B and C, [blocks, batch, length, 2 states]
 * @param du gets added what u gets of it; undefined where another kernel does that
 */
void proj_backward(const at::Tensor& panels, const at::Tensor& ddelta, const at::Tensor& states,
                   const at::Tensor& dprojected, const at::Tensor& du);

/** Whether dt_gradients takes such sizes in a type on the current device. */
bool dt_gradients_run(const ProjSizes& s, at::ScalarType type);
/**
 * As proj_backward without du, which reads ddelta alone, and the gradient of dt_proj's weight.
 * @param dt_weight [width, rank_width] @param projected of the forward pass @return float32 [width, rank_width]
 */
at::Tensor dt_gradients(const at::Tensor& ddelta, const at::Tensor& dt_weight, const at::Tensor& projected,
                        const at::Tensor& states, const at::Tensor& dprojected);

}  // namespace mamba_prune::cuda
