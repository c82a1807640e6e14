// What projections.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::proj_kernel {

constexpr int kRank = 16, kStates = 16;        // of the step sizes, padded, and of the SSM
constexpr int kColumns = kRank + 2 * kStates;  // of x_proj's result
constexpr int kTile = 64;                      // tokens of a warpgroup; channels of a panel
constexpr int kGroups = 2;                     // warpgroups of a block
constexpr int kThreads = 128 * kGroups;
constexpr int kResident = 2;  // of a multiprocessor
constexpr int kPackThreads = 256;
constexpr int kRowBytes = 2 * kTile;  // of a row of a panel
constexpr int kAlignment = 1024;      // of a panel in shared memory

/** The panels of x_proj, then those of dt_proj. */
MAMBA_PRUNE_BOTH constexpr int panel_bytes(int panels) { return panels * (kColumns + kRank) * kRowBytes; }

/** @tparam T type of the elements, void on the host */
template <class T> struct PackArgs {
  const T *x_proj, *dt_proj;  // [kColumns, width], [width, kRank]
  T* panels;
  int width, count;
};
MAMBA_PRUNE_CHECK_LAYOUT(PackArgs<void>, 3 * 8 + 2 * 4);

/** @tparam T type of the elements, void on the host */
template <class T> struct ProjArgs {
  const unsigned char* panels;
  const T* u;  // [rows, width]
  // [rows, kColumns], [rows, width]; backward their gradients, of which delta's is read.
  T *projected, *delta;
  T* du;                // [rows, width], added to
  const float* states;  // [blocks, rows, 2 kStates]
  int rows, width, panel_count, blocks;
};
MAMBA_PRUNE_CHECK_LAYOUT(ProjArgs<void>, 6 * 8 + 4 * 4);

}  // namespace mamba_prune::cuda::proj_kernel
