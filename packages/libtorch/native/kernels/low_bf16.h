// Activations in bfloat16, and what becomes of sums of float32. Included by isa_*_bf16.cc after simd.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
typedef __m512 Sum;
constexpr LowPrecision kPrecision = LowPrecision::bf16;

// What belongs to 16 columns of weights: nothing here.
struct Column {
  MP_INLINE Column(const LowMatrix&, int64_t, int64_t) {}
  MP_INLINE VF value(Sum sum, const LowRows&, int64_t) const { return sum; }
};

// Nearest, even on a tie.
inline void convert(const float* from, int64_t from_stride, int64_t depth, const LowRows& rows, int64_t begin,
                    int64_t end) {
  const int64_t stride = depth_bytes(kPrecision, depth);
  for (int64_t r = begin; r < end; r++) {
    const float* x = from + r * from_stride;
    uint8_t* out = rows.values + r * stride;
    for (int64_t c = 0; 2 * c < stride; c += 32) {
      const VF first = load_n<true>(x + c, depth - c), second = load_n<true>(x + c + 16, depth - c - 16);
      const __m512bh pair = _mm512_cvtne2ps_pbh(second, first);
      __builtin_memcpy(out + 2 * c, &pair, sizeof pair);
    }
  }
}

// `left` of 16 results from column `column` on as a row of the next product, and the zeros behind the last of them.
MP_INLINE void store_low(const LowProduct& g, VF value, int64_t row, int64_t column, int64_t left) {
  const int64_t stride = depth_bytes(kPrecision, g.weight.columns);
  uint8_t* out = g.low_out + row * stride + 2 * column;
  const __mmask16 valid = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
  const __m256bh half = _mm512_maskz_cvtneps_pbh(valid, value);
  __builtin_memcpy(out, &half, sizeof half);
  if (left <= 16 && 2 * column + 32 < stride) __builtin_memset(out + 32, 0, 32);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
