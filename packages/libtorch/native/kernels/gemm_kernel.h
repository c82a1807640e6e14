// out = x W^T for the narrow products of one block: a few dozen to a few hundred rows x, weights W [columns, depth]
// as PyTorch stores them. A panel of two registers' worth of columns is transposed into L1 (kPanelDepth at a time),
// then kGemmRows rows at a time run down the panel with all sums in registers; bias, skip connection and GELU are
// applied before the sums are stored. Called from inside a parallel region: threads take different panels or rows.
// Included by isa_*.cc after gelu_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
constexpr int kWidth = Simd<float>::width;
constexpr int kPanel = 2 * kWidth;  // columns of a panel
// Two registers of sums a row. AVX-512 and NEON have 32 registers, others 16; on NEON GCC 12 keeps some of 12 rows in
// memory.
#if defined(__aarch64__)
constexpr int kGemmRows = 8;
#else
constexpr int kGemmRows = MP_BYTES == 64 ? 12 : 6;
#endif

struct Gemm {
  const float* x;
  int64_t x_stride, rows, depth;
  const float* weight;  // [columns, depth]
  int64_t columns;
  float* out;
  int64_t out_stride;
  const float* bias;      // [columns] or null
  const float* residual;  // [rows, columns], rows out_stride apart, or null
  bool gelu;

  int64_t panels() const { return (columns + kPanel - 1) / kPanel; }
};

template <int Step, int... i> MP_INLINE void swap_blocks(VF& a, VF& b, std::integer_sequence<int, i...>) {
  constexpr int W = kWidth;
#if defined(__clang__)
  const VF low = __builtin_shufflevector(a, b, (i & Step ? W + i - Step : i)...);
  b = __builtin_shufflevector(a, b, (i & Step ? W + i : i + Step)...);
#else
  const VF low = __builtin_shuffle(a, b, Int<float>{(i & Step ? W + i - Step : i)...});
  b = __builtin_shuffle(a, b, Int<float>{(i & Step ? W + i : i + Step)...});
#endif
  a = low;
}
// Transposes a square of registers by exchanging ever smaller blocks across the diagonal.
template <int Step> struct Transpose {
  static MP_INLINE void run(VF* r) {
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; i++)
      if (!(i & Step)) swap_blocks<Step>(r[i], r[i + Step], std::make_integer_sequence<int, kWidth>{});
    Transpose<Step / 2>::run(r);
  }
};
template <> struct Transpose<0> {
  static MP_INLINE void run(VF*) {}
};

// panel[k][j] = weight[j][k] for kPanel columns j and `depth` k; columns beyond `valid` become zero.
inline void pack_panel(float* panel, const float* weight, int64_t stride, int64_t valid, int64_t depth) {
  for (int half = 0; half < 2; half++) {
    const int64_t left = valid - half * kWidth;
    const float* from = weight + half * kWidth * stride;
    for (int64_t k = 0; k < depth; k += kWidth) {
      VF r[kWidth];
#pragma GCC unroll 16
      for (int j = 0; j < kWidth; j++) r[j] = j < left ? load_n<true>(from + j * stride + k, depth - k) : VF{};
      Transpose<kWidth / 2>::run(r);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; i++) store<float>(panel + (k + i) * kPanel + half * kWidth, r[i]);
    }
  }
}

// M rows times one packed panel, which holds `depth` elements of the depth from k0 on.
template <int M>
inline void gemm_rows(const Gemm& g, const float* panel, int64_t row, int64_t column, int64_t k0, int64_t depth) {
  const float* x = g.x + row * g.x_stride + k0;
  VF sum[M][2];
#pragma GCC unroll 16
  for (int m = 0; m < M; m++) sum[m][0] = sum[m][1] = VF{};
  for (int64_t k = 0; k < depth; k++) {
    const VF low = load(panel + k * kPanel), high = load(panel + k * kPanel + kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
      const float value = x[m * g.x_stride + k];
      sum[m][0] += low * value;
      sum[m][1] += high * value;
    }
  }
  const int64_t left = g.columns - column;
  const bool first = k0 == 0, last = k0 + depth == g.depth;
#pragma GCC unroll 16
  for (int m = 0; m < M; m++) {
    float* out = g.out + (row + m) * g.out_stride + column;
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
      const int64_t at = half * kWidth;
      VF value = sum[m][half];
      if (!first) value += load_n<true>(out + at, left - at);
      if (first && g.bias) value += load_n<true>(g.bias + column + at, left - at);
      if (first && g.residual) value += load_n<true>(g.residual + (row + m) * g.out_stride + column + at, left - at);
      if (last && g.gelu) value = gelu<float>(value);
      store_n<true>(out + at, value, left - at);
    }
  }
}

// A part of W that is packed at a time: `columns` rows of W, `depth` of their elements.
struct PanelPart {
  const float* weight;
  int64_t columns, depth;
};
inline PanelPart panel_part(const Gemm& g, int64_t index, int64_t k0) {
  const int64_t column = index * kPanel;
  return {g.weight + column * g.depth + k0, g.columns - column < kPanel ? g.columns - column : kPanel,
          g.depth - k0 < kPanelDepth ? g.depth - k0 : kPanelDepth};
}

// Walks over the cache lines of a part, row after row of W, and asks for them.
struct Prefetcher {
  const float* at;
  int64_t stride, depth, rows_left, offset = 0;
  Prefetcher(const PanelPart& part, int64_t stride)
      : at(part.weight), stride(stride), depth(part.depth), rows_left(part.columns) {}
  int64_t lines() const { return rows_left * (depth / 16 + 1); }
  void ask(int64_t count) {
    for (; count > 0 && rows_left > 0; count--) {
      __builtin_prefetch(at + offset);
      offset += 16;
      if (offset <= depth) continue;
      offset = 0, at += stride, rows_left--;
    }
  }
};

// One panel for the rows [begin, end). `panel` is working memory of kPanelDepth rows of kPanel. Weights come from far
// away, every one once, in strides that the processor does not foresee: what is packed next is asked for now.
inline void gemm_panel(const Gemm& g, int64_t index, int64_t begin, int64_t end, float* panel) {
  const int64_t column = index * kPanel;
  const int64_t tiles = (end - begin + kGemmRows - 1) / kGemmRows;
  for (int64_t k0 = 0; k0 < g.depth; k0 += kPanelDepth) {
    const PanelPart part = panel_part(g, index, k0);
    const bool deeper = k0 + kPanelDepth < g.depth, more = deeper || index + 1 < g.panels();
    const PanelPart next = !more    ? PanelPart{}
                           : deeper ? panel_part(g, index, k0 + kPanelDepth)
                                    : panel_part(g, index + 1, 0);
    Prefetcher prefetcher(next, g.depth);
    const int64_t lines = (prefetcher.lines() + tiles - 1) / tiles;
    pack_panel(panel, part.weight, g.depth, part.columns, part.depth);
    int64_t row = begin;
    for (; row + kGemmRows <= end; row += kGemmRows) {
      prefetcher.ask(lines);
      gemm_rows<kGemmRows>(g, panel, row, column, k0, part.depth);
    }
    prefetcher.ask(lines);
    for (; row + 4 <= end; row += 4) gemm_rows<4>(g, panel, row, column, k0, part.depth);
    for (; row + 2 <= end; row += 2) gemm_rows<2>(g, panel, row, column, k0, part.depth);
    for (; row < end; row++) gemm_rows<1>(g, panel, row, column, k0, part.depth);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
