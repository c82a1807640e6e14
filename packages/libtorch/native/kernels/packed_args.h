// Plain-data arguments of the products with packed weights: no torch headers, shared by all instruction sets.
#pragma once
#include <cstdint>

namespace mamba_prune {

enum class Activation { none, relu, gelu };

// out[r] = activation(W x[r] + bias + residual[r]) for rows r. W [columns, depth] lies in panels of isa().panel
// columns: [panels, depth, panel], with zeros in the columns beyond the last.
struct PackedProduct {
  const float* x;
  int64_t x_stride, rows, depth;
  const float* weight;
  int64_t panel_stride;  // from one panel to the next
  int64_t columns;
  float* out;
  int64_t out_stride;
  const float* bias = nullptr;      // [columns]
  const float* residual = nullptr;  // rows out_stride apart
  Activation activation = Activation::none;
  // The depth that is summed in registers at a time: this part of a panel and the next, which is on its way, fit into
  // the second-level cache.
  int64_t part_depth = 1024;
};

// A matrix [columns, depth], or [depth, columns] for `pack_row_panels`, that one call packs into panels for all of its
// rows: [panels, depth, panel], with zeros in the columns beyond the last; panels are isa().panel_stride(depth) apart.
struct PanelPacking {
  const float* weight;
  int64_t columns, depth;
  float* out;
};

// out[rows, columns] = sum over k of a[k]^T b[k], for k below depth: the gradient of a weight.
struct OuterProduct {
  const float* a;
  int64_t a_stride, rows;
  const float* b;
  int64_t b_stride, columns;
  int64_t depth;
  float* out;
  int64_t out_stride;
  bool pack_b =
      false;  // whether panels of b are packed; worth it where few rows of b share a page and many tiles a panel
};

// Parts of one array of working memory. Every part begins on a cache line, so that no two threads write into the same.
struct Layout {
  int64_t total = 0;
  int64_t take(int64_t count) {
    const int64_t at = total;
    total += (count + 15) / 16 * 16;
    return at;
  }
};

}  // namespace mamba_prune
