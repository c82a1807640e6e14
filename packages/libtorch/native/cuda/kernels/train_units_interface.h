// What train_units.cu and the host that launches it share.
#pragma once
#include "fused_mlp_interface.h"
#include "projections_interface.h"

namespace mamba_prune::cuda::train_units_kernel {

constexpr int kThreads = 256;
constexpr int kShares =
    4;  // blocks that share a unit, or a panel: each waits for memory as often as its loop goes round
constexpr int kMostItems = 64;  // of a launch: its arguments are up to 4,096 bytes

/** Whose weights: in_proj's, fc1's and fc2's by turns, x_proj's and dt_proj's. */
enum Kind { kInProj, kMlp, kProjections };

/**
 * Weights in 16 bits, padded, and where they go. A block packs its share of a unit, or of a panel of both projections.
 *
 * @tparam T type of the elements, void on the host
 */
template <class T> struct Item {
  const T *first, *second;  // [width, MODEL]; fc1 [width, MODEL], fc2 [MODEL, width]; x_proj [kColumns, width], dt_proj
  const float* bias;        // of fc1 [neurons]
  unsigned char* to;
  int kind, width, neurons, first_block;
};
/** @tparam T type of the elements, void on the host */
template <class T> struct ItemsArgs {
  Item<T> of[kMostItems];
  int count, padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(ItemsArgs<void>, kMostItems * (4 * 8 + 4 * 4) + 2 * 4);

}  // namespace mamba_prune::cuda::train_units_kernel
