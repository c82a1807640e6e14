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

MP_INLINE __m256i bf16_of(VF value) { return (__m256i)_mm512_cvtneps_pbh(value); }

}  // namespace MP_ISA
}  // namespace mamba_prune
