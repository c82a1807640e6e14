// What row_products.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::row_products_kernel {

constexpr int kMostProducts = 8, kMostSums = 16;    // of one launch
constexpr int kTileRows = 128, kTileColumns = 192;  // of a block's result
constexpr int kStep = 64;                           // rows of the factors that are multiplied at once
constexpr int kStages = 3;                          // such steps in shared memory
constexpr int kThreads = 256;
// Of a row in shared memory, in elements of 16 bits: an odd number of 16 bytes, so that eight rows meet in no bank.
constexpr int kLeftRow = kTileRows + 8, kRightRow = kTileColumns + 8;
constexpr int kStageElements = kStep * (kLeftRow + kRightRow);
constexpr int kSharedBytes = kStages * kStageElements * 2;

/** @tparam T type of the elements, void on the host */
template <class T> struct Product {
  const T *left, *right;  // [rows, m], [rows, n], rows at a distance of left_row and right_row
  float* partial;         // [chunks, m, n]
  int m, n, left_row, right_row;
  int row_tiles, tiles;  // of the result: in m, in all
  int per_chunk;         // rows
  int first_block;
};
/** @tparam T type of the elements, void on the host */
template <class T> struct ProductsArgs {
  Product<T> of[kMostProducts];
  int count, rows;
};
MAMBA_PRUNE_CHECK_LAYOUT(ProductsArgs<void>, kMostProducts * (3 * 8 + 8 * 4) + 2 * 4);

/** Which rows (or columns) of a sum are kept: those before `split`, and `skip` after it the others, `count` in all. */
struct Kept {
  int split, skip, count;
};
/** One sum over the first dimension of `partial`, [parts, rows * columns]. */
struct Sum {
  const float* partial;
  float* out;  // element (row, column) that is kept goes to row * row_step + column * column_step
  int parts, size, columns;
  Kept kept_rows, kept_columns;
  int row_step, column_step;
  int across;  // elements of a block: kThreads / across threads share one
  int first_block;
  int padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(Sum, 2 * 8 + 14 * 4);
struct SumsArgs {
  Sum of[kMostSums];
  int count, padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(SumsArgs, kMostSums * (2 * 8 + 14 * 4) + 2 * 4);

}  // namespace mamba_prune::cuda::row_products_kernel
