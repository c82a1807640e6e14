// What norm_in_proj.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::in_proj_kernel {

constexpr int kTile = 64;         // tokens of a warpgroup; rows of a unit of weights
constexpr int kAlignment = 1024;  // of a unit in shared memory
constexpr int kWarpgroup = 128;   // threads
constexpr int kAhead = 2;         // units that are on their way while the next one is asked for

/** 64 rows of the weights, in 16 bits. */
MAMBA_PRUNE_BOTH constexpr int unit_bytes(int model) { return kTile * model * 2; }
/** Threads of a block: the warpgroups that compute, and one that copies the weights. */
MAMBA_PRUNE_BOTH constexpr int threads_of(int groups) { return (groups + 1) * kWarpgroup; }

/** @tparam T type of the branch's elements, void on the host; those of the residual stream are float32 */
template <class T> struct InProjArgs {
  const float *x, *norm;  // [rows, MODEL], [MODEL]
  const T* weight;        // [columns, MODEL]
  T* out;                 // [rows, columns], columns a multiple of 8
  int rows, columns;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(InProjArgs<void>, 4 * 8 + 3 * 4 + kPadding);

}  // namespace mamba_prune::cuda::in_proj_kernel
