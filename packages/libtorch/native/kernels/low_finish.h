// What is done to the sums of 16 columns of a product in low precision before they are stored.
// Included by isa_*.cc after low_gelu.h and low_bf16.h or low_int8.h.
namespace mamba_prune {
namespace MP_ISA {

struct Finish {
  int64_t column, left;
  Column weights;
  VF bias;
  MP_INLINE Finish(const LowProduct& g, int64_t first)
      : column(first),
        left(g.weight.columns - first),
        weights(g.weight, first, left),
        bias(g.bias ? load_n<true>(g.bias + first, left) : VF{}) {}
  MP_INLINE void store_row(const LowProduct& g, const LowRows& rows, Sum sum, int64_t row) const {
    const int64_t place = row * g.out_stride + column;
    VF value = weights.value(sum, rows, row) + bias;
    if (g.residual) value += load_n<true>(g.residual + place, left);
    if (g.activation == Activation::gelu) value = low_gelu(value);
    if (g.low_out) {
      const int64_t stride = depth_bytes(LowPrecision::bf16, g.weight.columns);
      store_bf16(g.low_out + row * stride, stride, column, bf16_of(keep_lanes(value, left)), left);
    } else {
      store_n<true>(g.out + place, value, left);
    }
  }
};

}  // namespace MP_ISA
}  // namespace mamba_prune
