// What gelu.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::gelu_kernel {

constexpr int kWarps = 8;  // of a block, each with every eighth row
constexpr int kThreads = 32 * kWarps;

/** @tparam T type of the elements, void on the host */
template <class T> struct GeluArgs {
  T* gradient;      // [rows, columns], overwritten
  const T* before;  // [rows, columns]
  float* partial;   // [blocks along y, columns]
  int rows, columns;
};
MAMBA_PRUNE_CHECK_LAYOUT(GeluArgs<void>, 3 * 8 + 2 * 4);

}  // namespace mamba_prune::cuda::gelu_kernel
