// What tile_products.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::tile_products_kernel {

constexpr int kMostProducts = 8;                  // of one launch
constexpr int kPanel = 64;                        // columns that lie together in shared memory
constexpr int kLeftPanels = 4, kRightPanels = 3;  // of a block's result, at most: its rows and its columns
constexpr int kStep = 32;                         // rows of the factors that are multiplied at once
constexpr int kStages = 7;                        // such steps in shared memory
constexpr int kPanelBytes = kStep * kPanel * 2;
constexpr int kStageBytes = (kLeftPanels + kRightPanels) * kPanelBytes;
constexpr int kAlignment = 1024;  // of a panel
constexpr int kSharedBytes = kStages * kStageBytes + kAlignment;
constexpr int kWarpgroup = 128, kGroups = 2;  // threads; warpgroups that multiply
constexpr int kThreads = (kGroups + 1) * kWarpgroup;

/** CUtensorMap of cuda.h, which the driver writes and the hardware reads. */
struct alignas(128) TensorMap {
  unsigned long long words[16];
};
static_assert(sizeof(TensorMap) == 128, "as cuda.h lays it out");

/** left^T right, of which a block computes a tile over every `chunks`-th step of the rows. */
struct Product {
  float* partial;                 // [chunks, m, n]
  int m, n;                       // columns of left and of right
  int left_panels, right_panels;  // of a tile
  int row_tiles, tiles;           // of the result: in m, in all
  int chunks, first_block;
};
struct ProductsArgs {
  TensorMap left[kMostProducts], right[kMostProducts];
  Product of[kMostProducts];
  int count, steps;
  int padding[14];
};
MAMBA_PRUNE_CHECK_LAYOUT(ProductsArgs, kMostProducts * (2 * 128 + 8 + 8 * 4) + 16 * 4);

}  // namespace mamba_prune::cuda::tile_products_kernel
