// RMSNorm and in_proj in one kernel, for inference.
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

/**
 * Whether there is a kernel for them on the current device: Hopper, weights of 16 bits, d_model 128 or
 * 192.
 */
bool norm_in_proj_runs(const at::Tensor& x, const at::Tensor& norm_weight, const at::Tensor& in_proj);

/**
 * out = in_proj(norm(x)), where norm(x) is rounded to the type of in_proj.
 * @param x float32, contiguous [batch, length, d_model]
 * @param in_proj contiguous [columns, d_model], columns a multiple of 8
 * @param out contiguous [batch, length, columns]
 */
void norm_in_proj(const at::Tensor& x, const at::Tensor& norm_weight, double eps, const at::Tensor& in_proj,
                  const at::Tensor& out);

}  // namespace mamba_prune::cuda
