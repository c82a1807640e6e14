// Plain-data arguments of the products in bfloat16 and in 8-bit integers: no torch headers, shared by all instruction
// sets.
#pragma once
#include <cstdint>

#include "packed_args.h"

namespace mamba_prune {

enum class LowPrecision : int32_t { bf16 = 1, int8 = 2 };

// Columns of a panel of weights: two registers of 32-bit sums, or two tiles.
constexpr int64_t kLowPanel = 32;
// What one instruction takes of a column in one lane: 2 numbers of bf16, 4 of int8.
constexpr int64_t kLaneBytes = 4;
// The depth is filled up with zeros to a row of a tile of AMX: 32 numbers of bf16, 64 of int8.
constexpr int64_t kDepthBytes = 64;
// Of int8: sums of products of 8 bits stay within 32.
constexpr int64_t kMostDepth = int64_t{1} << 16;

inline int64_t round_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }
inline int64_t bytes_of(LowPrecision precision) { return precision == LowPrecision::bf16 ? 2 : 1; }
// Of a row of activations, or of a column of weights.
inline int64_t depth_bytes(LowPrecision precision, int64_t depth) {
  return round_up(depth * bytes_of(precision), kDepthBytes);
}

// W [columns, depth]. Panel after panel: [depth_bytes / 4][kLowPanel] lanes of 4 bytes. With int8 a column's numbers
// are multiples of its `scale`, and `sums` are the sums of its integers.
struct LowMatrix {
  const uint8_t* panels = nullptr;
  const float* scale = nullptr;
  const int32_t* sums = nullptr;
  int64_t columns = 0, depth = 0;
};

// Rows of activations as the product reads them, depth_bytes apart, in memory for a multiple of kLowRowGroup rows, of
// which what lies behind the last row may be read. With int8 a row's numbers are
// scale (integer - zero), integers from 0 to 255.
struct LowRows {
  uint8_t* values;
  float *scale, *zero;
};

constexpr int64_t kLowRowGroup = 32;

// Working memory of LowRows in floats.
struct LowScratch : Layout {
  int64_t values, scale, zero;
  LowScratch(LowPrecision precision, int64_t rows, int64_t depth)
      : values(take(round_up(rows, kLowRowGroup) * depth_bytes(precision, depth) / 4)),
        scale(take(rows)),
        zero(take(rows)) {}
  LowRows in(float* base) const { return {reinterpret_cast<uint8_t*>(base + values), base + scale, base + zero}; }
};

// out[r] = activation(W x[r] + bias + residual[r]) for rows r, which have been converted.
struct LowProduct {
  int64_t rows;
  LowMatrix weight;
  float* out;
  int64_t out_stride;
  const float* bias = nullptr;      // [columns]
  const float* residual = nullptr;  // rows out_stride apart
  Activation activation = Activation::none;
  // Where the results go in place of `out`, in bfloat16, as rows that another product may read; there is no residual
  // then.
  uint8_t* low_out = nullptr;
  // Whether `out` has room for whole panels and groups of 16 rows, whose other numbers may be written; nothing is added
  // or applied then.
  bool roomy = false;
};

// Scores of some rows, and what their softmax is before it is divided by its sum: bfloat16 rows of
// depth_bytes(bf16, count), which a product may read.
struct LowSoftmax {
  const float* scores;
  int64_t stride, count;  // from row to row; numbers of a row, behind which there is room for a whole panel
  float scale;            // of the scores
  uint8_t* out;
  float* inverse;  // of the sums, one for each row
};

// Results of attention for some rows and one head: out = x times the row's factor.
struct LowScaled {
  const float* x;
  int64_t x_stride, columns;
  const float* factors;
  uint8_t* out;        // bfloat16
  int64_t out_stride;  // bytes
};

// The kernels of one precision on one instruction set.
struct LowKernels {
  const char* name;
  LowPrecision precision;
  // Rows [begin, end) of x [rows, depth], `stride` apart, as the product reads them.
  void (*convert)(const float* x, int64_t stride, int64_t depth, const LowRows&, int64_t begin, int64_t end);
  // Panels [first, last) for rows [begin, end), which have been converted.
  void (*multiply)(const LowProduct&, const LowRows&, int64_t first, int64_t last, int64_t begin, int64_t end);
  // Rows that it multiplies at a time.
  int64_t tile;
  // Of bf16 alone: `rows` rows.
  void (*softmax)(const LowSoftmax&, int64_t rows) = nullptr;
  void (*scale)(const LowScaled&, int64_t rows) = nullptr;
};

// Whether the hidden layer of an MLP is kept in float32 before it is converted: an integer's step is known only when
// all of a row are.
inline bool keeps_hidden(const LowKernels* kernels) { return !kernels || kernels->precision == LowPrecision::int8; }

// Floats of a row of bfloat16.
inline int64_t bf16_row(int64_t depth) { return depth_bytes(LowPrecision::bf16, depth) / 4; }

// Rows of activations in `memory`, which has room for LowScratch.
inline LowRows low_rows(LowPrecision precision, int64_t rows, int64_t depth, float* memory) {
  return LowScratch(precision, rows, depth).in(memory);
}

}  // namespace mamba_prune
