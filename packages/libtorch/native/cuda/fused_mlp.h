// The MLP branch with what follows it in a stack of blocks, in one kernel for inference (kernels/fused_mlp.cu).
#pragma once
#include <ATen/ATen.h>

#include <utility>

namespace mamba_prune::cuda {

/** Whether there is a kernel for a d_model and a type on the current device: Hopper, 16 bits, 128 or 192. */
bool fused_mlp_runs(int64_t model, at::ScalarType type);

/**
 * The weights as the kernel reads them, uint8 [units, bytes]: for every 64 neurons one unit of fc1 and one of fc2, then
 * for every 64 columns of the next in-projection one unit. Weights and biases of the normalisations are multiplied into
 * the products that follow them.
 *
 * @param next_in_proj float32 [2 d_inner, d_model], or undefined after the last block; each half is padded to a
 * multiple of 8
 */
at::Tensor fused_mlp_units(const at::Tensor& norm_weight, const at::Tensor& norm_bias, const at::Tensor& fc1,
                           const at::Tensor& bias1, const at::Tensor& fc2, const at::Tensor& next_weight,
                           const at::Tensor& next_bias, const at::Tensor& next_in_proj, at::ScalarType type);

/** The shape of the units of so many neurons and (padded) columns of the next in-projection. */
std::pair<int64_t, int64_t> fused_mlp_units_shape(int64_t model, int64_t neurons, int64_t next_columns);

/**
 * out = x + fc2(gelu(fc1(norm(x)))), next = in_proj(norm(out)).
 * @param x, out contiguous [rows, d_model]
 * @param bias2 float32 [d_model]
 * @param next contiguous [rows, columns], or undefined
 */
void fused_mlp(const at::Tensor& x, const at::Tensor& units, const at::Tensor& bias2, int64_t neurons, double eps,
               const at::Tensor& out, const at::Tensor& next);

/**
 * Warpgroups of a block of kernels like it, each with 64 rows: two share the weights; where that would leave
 * multiprocessors without work, there is one.
 */
int64_t warpgroups_for(int64_t rows);
/**
 * Blocks of a cluster, which share what they copy: two where a block has two warpgroups. A block of one has a single
 * tile of rows, and waits for other things.
 */
int64_t cluster_of(int64_t warpgroups);
/** Blocks in whole clusters: one for each multiprocessor, if there is work for so many. */
int64_t blocks_for(int64_t rows);

}  // namespace mamba_prune::cuda
