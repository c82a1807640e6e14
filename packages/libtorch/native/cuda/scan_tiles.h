// The forward scan with its products in the tensor cores (kernels/scan_tiles.cu), where nothing is kept for a backward
// pass.
#pragma once
#include "launch.h"

namespace mamba_prune::cuda {

/** Whether it takes tensors of these sizes that lie as a branch lays them. */
bool scan_tiles_run(at::ScalarType type, int64_t states, int64_t width);
/** Whether it makes the step sizes of these weights [channels or more, rank], as `Scan::dt_weight`. */
bool scan_tiles_make_steps(const at::Tensor& dt_weight);
/** Whether it takes these tensors: bfloat16, 16 states, from a state of zero, and rows that begin at whole fours. */
bool scan_tiles_run(const Scan& s, const at::Tensor& y);
/** @param y as that of `scan_forward` */
void scan_tiles(const Scan& s, const at::Tensor& y, bool add);
/** y = the sum of both in one launch. @param back reversed, and as `s` in z, scale and the rows' distances */
void scan_tiles_both(const Scan& s, const Scan& back, const at::Tensor& y);

}  // namespace mamba_prune::cuda
