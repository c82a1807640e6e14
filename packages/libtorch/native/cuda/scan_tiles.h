// The forward scan of a branch in the tensor cores (kernels/scan_tiles.cu): it makes the step sizes itself, and scans
// both directions in one launch where there are two.
#pragma once
#include <vector>

#include "launch.h"

namespace mamba_prune::cuda {

/** One direction. */
struct TileScan {
  Scan scan;               // its B and C are not read; what has a direction of its own are u, delta, A, D and bias
  at::Tensor projected;    // [batch, length, columns]: numbers of low rank, then B, then C
  at::Tensor dt_weight;    // [width, rank]: its product with those numbers is delta
  at::Tensor checkpoints;  // for a backward pass; then the scan's delta is written, too, and else it is undefined
};

/**
 * Whether it takes a branch of such rows: bfloat16, 16 states, and a rank, padded as `dt_weight` is, of up to 32. It
 * wants rows, and places in them, of whole eights, as a branch lays them.
 */
bool scan_tiles_run(at::ScalarType type, int64_t states, int64_t width, int64_t columns, const at::Tensor& dt_weight);
/**
 * @param directions one or two, of which the second is reversed
 * @param y becomes the result, or the sum of both; columns from `channels` on become 0
 */
void scan_tiles(const std::vector<TileScan>& directions, const at::Tensor& y);

}  // namespace mamba_prune::cuda
