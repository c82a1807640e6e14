// What reorder.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::reorder_kernel {

constexpr int kThreads = 256;  // of a block, each with one unit
constexpr int kMaxUnit = 16;   // bytes that a thread moves at once

/** @tparam T what a thread moves, void on the host */
template <class T> struct ReorderArgs {
  const T* from;
  T* to;
  long long rows;
  int units, length, side;  // units of a row; side 0 reverses
};
MAMBA_PRUNE_CHECK_LAYOUT(ReorderArgs<void>, 3 * 8 + 3 * 4 + kPadding);

}  // namespace mamba_prune::cuda::reorder_kernel
