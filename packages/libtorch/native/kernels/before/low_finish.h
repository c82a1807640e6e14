// What is done to the sums of a panel of a product in low precision before they are stored.
// Included by isa_*.cc after bf16_store.h, low_gelu.h and low_bf16.h or low_int8.h.
namespace mamba_prune {
namespace MP_ISA {

// Registers of sums of a row of a panel.
constexpr int kHalves = static_cast<int>(kLowPanel) / 16;

// Of 16 columns.
struct Finish {
  int64_t column, left;
  Column weights;
  VF bias;
  MP_INLINE Finish(const LowProduct& g, int64_t first)
      : column(first),
        left(g.weight.columns - first),
        weights(g.weight, first, left),
        bias(g.bias ? load_n<true>(g.bias + first, left) : VF{}) {}
};

struct PanelFinish {
  Finish halves[kHalves];
  MP_INLINE PanelFinish(const LowProduct& g, int64_t column) : halves{Finish(g, column), Finish(g, column + 16)} {}
};

// Tail: some of the panel's columns are missing. Low: the result is in bfloat16.
template <bool Tail, bool Residual, bool Gelu, bool Low> void finish_rows(const LowProduct& g, const LowRows& rows,
                                                                          const PanelFinish& panel, const Sum* sums,
                                                                          int64_t row, int64_t count) {
  const int64_t out_stride = g.out_stride, low_stride = depth_bytes(LowPrecision::bf16, g.weight.columns);
  float* out = g.out;
  const float* residual = g.residual;
  uint8_t* low = g.low_out;
#pragma GCC unroll 2
  for (int h = 0; h < kHalves; h++) {
    const Finish f = panel.halves[h];
    if (Tail && f.left <= 0) break;
    const Sum* sum = sums + h;
    for (int64_t r = row; r < row + count; r++, sum += kHalves) {
      const int64_t place = r * out_stride + f.column;
      VF value = f.weights.value(*sum, rows, r) + f.bias;
      if (Residual) value += load_n<Tail>(residual + place, f.left);
      if (Gelu) value = low_gelu(value);
      if (Low)
        store_bf16<Tail>(low + r * low_stride, low_stride, f.column, bf16_of(keep_lanes<Tail>(value, f.left)), f.left);
      else store_n<Tail>(out + place, value, f.left);
    }
  }
}

template <bool Tail> inline void finish_panel(const LowProduct& g, const LowRows& rows, const PanelFinish& panel,
                                              const Sum* sums, int64_t row, int64_t count) {
  const bool gelu = g.activation == Activation::gelu;
  if (g.low_out && gelu) finish_rows<Tail, false, true, true>(g, rows, panel, sums, row, count);
  else if (g.low_out) finish_rows<Tail, false, false, true>(g, rows, panel, sums, row, count);
  else if (g.residual && gelu) finish_rows<Tail, true, true, false>(g, rows, panel, sums, row, count);
  else if (g.residual) finish_rows<Tail, true, false, false>(g, rows, panel, sums, row, count);
  else if (gelu) finish_rows<Tail, false, true, false>(g, rows, panel, sums, row, count);
  else finish_rows<Tail, false, false, false>(g, rows, panel, sums, row, count);
}

// Sums of rows [row, row + count), kHalves registers each, to where they are stored.
inline void finish_sums(const LowProduct& g, const LowRows& rows, const PanelFinish& panel, const Sum* sums,
                        int64_t row, int64_t count) {
  if (panel.halves[kHalves - 1].left < 16) finish_panel<true>(g, rows, panel, sums, row, count);
  else finish_panel<false>(g, rows, panel, sums, row, count);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
