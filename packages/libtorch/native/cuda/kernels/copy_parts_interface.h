// What copy_parts.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::copy_parts_kernel {

constexpr int kMostParts = 96;  // of a launch: its arguments are up to 4,096 bytes
constexpr int kThreads = 256;
constexpr int kPerBlock = 2048;  // elements

/** @tparam T type of the copies, void on the host */
template <class T> struct Part {
  const float* from;
  T* to;
  int rows, columns, from_row, to_row;  // the latter two: elements from one row to the next
  int first_block, padding;
};
/** @tparam T type of the copies, void on the host */
template <class T> struct PartsArgs {
  Part<T> of[kMostParts];
  int count, padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(PartsArgs<void>, kMostParts * (2 * 8 + 6 * 4) + 2 * 4);

}  // namespace mamba_prune::cuda::copy_parts_kernel
