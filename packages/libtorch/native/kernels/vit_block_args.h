// Plain-data arguments of the kernel for a whole block of a vision transformer: no torch headers.
#pragma once
#include <algorithm>
#include <cstdint>

#include "low_precision_args.h"
#include "packed_args.h"

namespace mamba_prune {

struct VitSizes {
  int64_t length, model, heads, head_dim, hidden;
  int64_t inner() const { return heads * head_dim; }
  // Of the hidden layer that are computed at a time: a multiple of every panel.
  int64_t neurons() const { return hidden < kNeurons ? hidden : kNeurons; }
  static constexpr int64_t kNeurons = 384;
};

// A matrix, packed: float32 in [panels, depth, panel], or for the products in low precision.
struct VitMatrix {
  const float* panels = nullptr;
  LowMatrix low;
};

struct VitWeights {
  const float *norm1_weight, *norm1_bias;
  VitMatrix qkv;  // 3 inner columns, depth model
  const float* qkv_bias;
  VitMatrix proj;  // model columns, depth inner
  const float* proj_bias;
  const float *norm2_weight, *norm2_bias;
  VitMatrix fc1;  // hidden columns, depth model
  const float* fc1_bias;
  VitMatrix fc2;  // model columns, depth hidden
  const float* fc2_bias;
};

// Intermediate results of `rows` tokens: [rows, width of the name], `hidden` of neurons() at a time, in low precision
// of all. `seen` is what the heads give, side by side, `low` activations of products in low precision.
struct VitBuffers {
  float *normed, *qkv, *seen, *hidden, *low[2];
};

struct VitArgs {
  VitSizes sizes;
  VitWeights weights;
  VitBuffers buffers;
  const LowKernels* low = nullptr;        // of all matrices; null where they are float32
  const LowKernels* attention = nullptr;  // with `low`: bf16, of attention's own products; null for float32
  float eps;
  int64_t batch;   // samples of this call
  const float* x;  // [batch, length, model]
  float* y;        // same; may not be x
};

struct VitScratch : Layout {
  int64_t normed, qkv, seen, hidden, low[2];
  VitScratch(const VitSizes& s, int64_t rows, const LowKernels* kernels)
      : normed(take(kernels ? 0 : rows * s.model)),
        // In low precision rows of bfloat16, of which the last may be read beyond its end.
        qkv(take(std::max(rows * 3 * s.inner(), kernels ? rows * bf16_row(3 * s.inner()) + 16 : 0))),
        seen(take(rows * s.inner())),
        hidden(take(!keeps_hidden(kernels) ? 0 : rows * (kernels ? s.hidden : s.neurons()))),
        low{take(kernels ? LowScratch(kernels->precision, rows, std::max(s.model, s.inner())).total : 0),
            take(kernels ? LowScratch(kernels->precision, rows, s.hidden).total : 0)} {}
  VitBuffers in(float* base) const {
    return {base + normed, base + qkv, base + seen, base + hidden, {base + low[0], base + low[1]}};
  }
};

// Queries whose scores a thread holds at a time.
constexpr int64_t kAttentionRows = 48;

// Working memory of a thread for one head: its keys and values packed, scores of kAttentionRows queries.
struct AttentionScratch : Layout {
  int64_t keys, values, scores;
  int64_t score_stride;
  AttentionScratch(const VitSizes& s, int64_t panel)
      : keys(take(ceil(s.length, panel) * ceil(s.head_dim, panel))),
        values(take(ceil(s.head_dim, panel) * s.length)),
        scores(take(kAttentionRows * ceil(s.length, panel))),
        score_stride(ceil(s.length, panel)) {}

 private:
  static int64_t ceil(int64_t count, int64_t step) { return (count + step - 1) / step * step; }
};

// The same in bfloat16: rows of queries; keys and values as matrices; scores, what the softmax makes of them, one over
// its sums, and what the values make of that.
struct LowAttentionScratch : Layout {
  int64_t rows, keys, values, scores, weights, sums, found;
  int64_t score_stride, found_stride;
  explicit LowAttentionScratch(const VitSizes& s)
      : rows(take(round_up(kAttentionRows, kLowRowGroup) * row(s.head_dim))),
        keys(take(round_up(s.length, kLowPanel) * row(s.head_dim))),
        values(take(round_up(s.head_dim, kLowPanel) * row(s.length))),
        scores(take(kAttentionRows * round_up(s.length, kLowPanel))),
        weights(take(round_up(kAttentionRows, kLowRowGroup) * row(s.length))),
        sums(take(kAttentionRows)),
        found(take(kAttentionRows * round_up(s.head_dim, kLowPanel))),
        score_stride(round_up(s.length, kLowPanel)),
        found_stride(round_up(s.head_dim, kLowPanel)) {}

 private:
  static int64_t row(int64_t depth) { return bf16_row(depth); }
};

// Floats of working memory of a thread: of attention, and of a row that is normalised.
inline int64_t vit_scratch(const VitSizes& s, int64_t panel, bool low) {
  const int64_t plain = AttentionScratch(s, panel).total;
  return low ? std::max({plain, LowAttentionScratch(s).total, round_up(s.model, 16)}) : plain;
}

}  // namespace mamba_prune
