// What lists.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::lists_kernel {

constexpr int kMostTensors = 128;  // of a launch: its arguments are up to 4,096 bytes
constexpr int kThreads = 256;
constexpr int kPerThread = 8;
constexpr int kPerBlock = kThreads * kPerThread;  // elements

/** A tensor to change, and one of the same size to read, where there is one. */
struct Item {
  float* to;
  const float* from;
  int size, first_block;
};
MAMBA_PRUNE_CHECK_LAYOUT(Item, 2 * 8 + 2 * 4);
struct ListArgs {
  Item of[kMostTensors];
  const float* number;  // what the tensors are changed by
  float* partial;       // of a sum over all, one number a block
  int count, padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(ListArgs, kMostTensors * (2 * 8 + 2 * 4) + 2 * 8 + 2 * 4);

}  // namespace mamba_prune::cuda::lists_kernel
