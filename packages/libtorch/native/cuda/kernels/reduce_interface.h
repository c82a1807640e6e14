// What reduce.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::reduce_kernel {

constexpr int kColumns = 32;                 // of a block of reduce_rows: one for each lane
constexpr int kRowsThreads = 32 * kColumns;  // 32 warps, each with every 32nd row
constexpr int kStatesThreads = 256;          // of a block of reduce_states, an element for each

struct RowsArgs {
  const float* partial;  // [rows, columns]
  float* out;            // [columns]
  int rows, columns;
};
MAMBA_PRUNE_CHECK_LAYOUT(RowsArgs, 2 * 8 + 2 * 4);

/** @tparam T type of the elements, void on the host */
template <class T> struct StatesArgs {
  const float* partial;  // [blocks, rows, 2 padded]
  T* out;                // rows of `width`, at a distance of row_stride
  int blocks, rows, padded, states, offset, width, row_stride;
};
MAMBA_PRUNE_CHECK_LAYOUT(StatesArgs<void>, 2 * 8 + 7 * 4 + kPadding);

}  // namespace mamba_prune::cuda::reduce_kernel
