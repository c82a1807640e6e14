// out = x W^T in bfloat16 or 8-bit integers with sums of 32 bits in registers: kLowRows rows at a time run down a panel
// of weights, which lies in the order in which it is read (low_precision_args.h).
// Included by isa_avx512_*.cc after low_finish.h, with dot(Sum, weights, activations), which adds 4 bytes' worth of
// products in every lane.
namespace mamba_prune {
namespace MP_ISA {

constexpr int kLowRows = 12;

// Rows [row, row + M) times a panel, of which H registers' worth of columns are in use.
template <int M, int H>
void low_rows(const LowProduct& g, const LowRows& rows, const uint8_t* panel, int64_t row, const PanelFinish& finish) {
  const int64_t stride = depth_bytes(kPrecision, g.weight.depth);
  const uint8_t* x = rows.values + row * stride;
  const int64_t used = round_up(g.weight.depth * bytes_of(kPrecision), kLaneBytes);
  Sum sum[M][H];
#pragma GCC unroll 16
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) sum[m][h] = Sum{};
  for (int64_t k = 0; k < used; k += kLaneBytes) {
    __m512i weight[H];
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) weight[h] = _mm512_loadu_si512(panel + k * kLowPanel + h * 64);
#pragma GCC unroll 16
    for (int m = 0; m < M; m++) {
      int32_t lane;
      __builtin_memcpy(&lane, x + m * stride + k, sizeof lane);
      const __m512i value = _mm512_set1_epi32(lane);
#pragma GCC unroll 2
      for (int h = 0; h < H; h++) dot(sum[m][h], weight[h], value);
    }
  }
  Sum done[M * kHalves];
#pragma GCC unroll 16
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) done[m * kHalves + h] = sum[m][h];
  finish_sums(g, rows, finish, done, row, M);
}

template <int M, int H> inline void low_rest(int64_t count, const LowProduct& g, const LowRows& rows,
                                             const uint8_t* panel, int64_t row, const PanelFinish& finish) {
  if (count == M) return low_rows<M, H>(g, rows, panel, row, finish);
  if constexpr (M > 1) low_rest<M - 1, H>(count, g, rows, panel, row, finish);
}

template <int H>
inline void low_panel(const LowProduct& g, const LowRows& rows, int64_t index, int64_t begin, int64_t end) {
  const uint8_t* panel = g.weight.panels + index * kLowPanel * depth_bytes(kPrecision, g.weight.depth);
  const PanelFinish finish(g, index * kLowPanel);
  int64_t row = begin;
  for (; row + kLowRows <= end; row += kLowRows) low_rows<kLowRows, H>(g, rows, panel, row, finish);
  if (row < end) low_rest<kLowRows - 1, H>(end - row, g, rows, panel, row, finish);
}

inline void low_multiply(const LowProduct& g, const LowRows& rows, int64_t first, int64_t last, int64_t begin,
                         int64_t end) {
  for (int64_t index = first; index < last; index++) {
    if (g.weight.columns - index * kLowPanel > kLowPanel / 2) low_panel<2>(g, rows, index, begin, end);
    else low_panel<1>(g, rows, index, begin, end);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
