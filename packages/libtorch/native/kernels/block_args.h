// Plain-data arguments of the whole-block inference kernel: no torch headers, shared by all instruction sets.
#pragma once
#include <algorithm>
#include <cstdint>

#include "conv_args.h"
#include "low_precision_args.h"
#include "packed_args.h"
#include "scan_args.h"

namespace mamba_prune {

// A matrix of a block, in float32 or for the products in low precision.
struct BlockMatrix {
  const float* plain = nullptr;
  // In panels, as pack_weights makes them, or where a call has packed `plain`; and floats from one panel to the next.
  const float* panels = nullptr;
  int64_t panel_stride = 0;
  LowMatrix low;
};

// Parameters of one direction of the scan as PyTorch lays them out: linear weights are [out, in].
struct ScanWeights {
  const float *conv_weight, *conv_bias;  // [inner, 1, taps], [inner]
  BlockMatrix x_proj;                    // [rank + 2 states, inner]
  const float *dt_weight, *dt_bias;      // [inner, rank], [inner]
  const float *A_log, *D;                // [inner, states], [inner]
};

// The second direction sees the sequence from its end.
constexpr int64_t kMaxDirections = 2;

// Parameters of one block.
struct BlockWeights {
  const float *norm1_weight, *norm1_bias;  // RMSNorm where there is no bias
  BlockMatrix in_proj;                     // [2 inner, model]
  ScanWeights scans[kMaxDirections];
  BlockMatrix out_proj;  // [model, inner]
  // Of a block with an MLP.
  const float *norm2_weight, *norm2_bias;
  BlockMatrix fc1_weight;  // [hidden, model]
  const float* fc1_bias;
  BlockMatrix fc2_weight;  // [model, hidden]
  const float* fc2_bias;
};

struct BlockSizes {
  int64_t length, model, inner, states, rank, taps;
  int64_t hidden;  // 0: no MLP
  int64_t directions = 1;
};

// Parameters of a direction in the layouts of the scan and convolution kernels; see ScanInputs and ConvInputs.
struct BlockPacked {
  int64_t tiles, padded;  // of the scan; row length of the convolution's weight
  float *A, *A_peak, *skip, *dt_bias;
  float *conv_weight, *conv_bias;
};

// Intermediate results of `rows` positions: [rows, width of the name].
struct BlockBuffers {
  // In low precision xz and u are rows of bfloat16.
  float *normed, *xz, *u[kMaxDirections], *projected[kMaxDirections], *delta, *scanned, *hidden;
  float* low[2];  // activations of products in low precision
};

// The stages of a block, in their order. GELU is a part of fc1's product here.
enum class BlockStage { norm, in_proj, conv, x_proj, dt_proj, scan, out_proj, fc1, fc2, count };
constexpr const char* kBlockStages[] = {"norm", "in_proj",  "conv", "x_proj", "dt_proj",
                                        "scan", "out_proj", "fc1",  "fc2"};

// What the stages take in one thread; nobody looks at the clock where `now` is null.
struct BlockClock {
  double (*now)() = nullptr;  // ms
  double began = 0;
  double ms[static_cast<int>(BlockStage::count)] = {};
  void start() {
    if (now) began = now();
  }
  // What passed since the last call was for `stage`.
  void lap(BlockStage stage) {
    if (!now) return;
    const double at = now();
    ms[static_cast<int>(stage)] += at - began, began = at;
  }
};

struct BlockArgs {
  BlockSizes sizes;
  BlockWeights weights;
  BlockPacked packed[kMaxDirections];
  BlockBuffers buffers;
  const LowKernels* low = nullptr;    // of all matrices but x_proj; null where they are float32
  const LowKernels* low_x = nullptr;  // of x_proj, with `low`: the same, or bf16
  float eps;
  float sum_scale;  // of the sum over two directions
  int64_t batch;    // samples of this call
  const float* x;   // [batch, length, model]
  float* y;         // same; may not be x
};

// The depth of a panel of weights that is packed at a time: 256 rows of two AVX registers are 16 KB, half of L1.
constexpr int64_t kPanelDepth = 256;

struct BlockScratch {
  int64_t normed, xz, u[kMaxDirections], projected[kMaxDirections], delta, scanned, hidden, low[2], total;
  // Every part begins on a cache line, so that no two threads write into the same.
  static constexpr int64_t aligned(int64_t count) { return (count + 15) / 16 * 16; }
  BlockScratch(const BlockSizes& s, int64_t rows, const LowKernels* kernels) {
    total = 0;
    const auto take = [&](int64_t width) {
      const int64_t at = total;
      total += aligned(rows * width);
      return at;
    };
    normed = take(kernels ? 0 : s.model), xz = take(kernels ? bf16_row(2 * s.inner) : 2 * s.inner);
    for (int64_t d = 0; d < kMaxDirections; d++) {
      const bool there = d < s.directions;
      u[d] = total;
      if (there) total += kernels ? LowScratch(LowPrecision::bf16, rows, s.inner).total : aligned(rows * s.inner);
      projected[d] = take(there ? s.rank + 2 * s.states : 0);
    }
    delta = take(kernels ? 0 : s.inner), scanned = take(s.inner);
    hidden = take(keeps_hidden(kernels) ? s.hidden : 0);
    const int64_t depths[2] = {std::max(s.model, s.inner), std::max(s.hidden, s.directions > 1 ? s.inner : 0)};
    for (int i = 0; i < 2; i++) {
      low[i] = total;
      if (kernels) total += LowScratch(kernels->precision, rows, depths[i]).total;
    }
  }
  BlockBuffers in(float* base) const {
    return {base + normed,
            base + xz,
            {base + u[0], base + u[1]},
            {base + projected[0], base + projected[1]},
            base + delta,
            base + scanned,
            base + hidden,
            {base + low[0], base + low[1]}};
  }
};

// Floats of working memory of a thread in low precision: of the scan, which are the weights of a tile's step sizes,
// for a chunk of steps these, what goes in and what comes out, and states; of a row that is normalised; of the
// convolution's rows.
constexpr int64_t kLowConvRows = 16;
inline int64_t low_scan_panel(const BlockSizes& s, int64_t tile) { return round_up(s.rank, 16) * tile; }
inline int64_t low_block_scratch(const BlockSizes& s, int64_t tile) {
  return std::max({low_scan_panel(s, tile) + (3 * kScanChunk + s.states) * tile, round_up(s.model, 16),
                   kLowConvRows * round_up(s.inner, 16)});
}

}  // namespace mamba_prune
