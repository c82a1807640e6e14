// What dt_gradients.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::dt_kernel {

constexpr int kRank = 16, kStates = 16;        // of the step sizes, padded, and of the SSM
constexpr int kColumns = kRank + 2 * kStates;  // of x_proj's result
constexpr int kTile = 64;                      // tokens of a block; channels of a panel
constexpr int kThreads = 128;
constexpr int kMostPanels = 8;  // of which a lane has the sums for the weight in registers
// Numbers from a row of the weight or of the numbers of low rank to the next one in shared memory: lanes read in banks
// of their own.
constexpr int kRow = kRank + 8;

/** Rows of a tile, the weight, and the numbers of low rank. */
MAMBA_PRUNE_BOTH constexpr int shared_bytes(int panels) {
  return 2 * (panels * kTile * kTile + panels * kTile * kRow + kTile * kRow);
}

/** @tparam T type of the elements, void on the host */
template <class T> struct DtArgs {
  const T *ddelta, *weight, *projected;  // [rows, width], [width, kRank], [rows, kColumns]
  T* dprojected;                         // [rows, kColumns]
  const float* states;                   // [blocks, rows, 2 kStates]
  float* partial;                        // [blocks of the launch, width, kRank]
  int rows, width, blocks;
};
MAMBA_PRUNE_CHECK_LAYOUT(DtArgs<void>, 6 * 8 + 3 * 4 + kPadding);

}  // namespace mamba_prune::cuda::dt_kernel
