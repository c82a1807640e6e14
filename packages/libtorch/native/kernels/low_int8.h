// Activations in 8-bit integers, and what becomes of integer sums. Included by isa_*_int8.cc and isa_avx512_vnni.cc
// after simd.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
typedef __m512i Sum;
constexpr LowPrecision kPrecision = LowPrecision::int8;
constexpr float kLeastRange = 1e-30f;

// Integers from 0 to 255 in steps of (highest - lowest) / 255, 0 being one of them: x = scale (integer - zero).
inline void quantise_row(const float* x, int64_t depth, int64_t padded, uint8_t* out, float& scale, int32_t& zero) {
  constexpr int kNoNumber = 0x99;  // NaN of both kinds, both infinities
  VF low{}, high{};
  __mmask16 wrong = 0;
  for (int64_t c = 0; c < depth; c += 16) {
    const VF v = load_n<true>(x + c, depth - c);
    low = _mm512_min_ps(v, low), high = _mm512_max_ps(v, high);
    wrong |= _mm512_fpclass_ps_mask(v, kNoNumber);
  }
  const float lowest = _mm512_reduce_min_ps(low), range = _mm512_reduce_max_ps(high) - lowest;
  // What is no number must be seen in the result: the row's scale makes all of it NaN. A row of zeros, or of numbers
  // whose inverse step is beyond float32, becomes zeros.
  const float inverse = wrong == 0 && range > kLeastRange ? 255 / range : 0.0f;
  scale = wrong ? __builtin_nanf("") : range * (1.0f / 255);
  const VF shift = splat<float>(__builtin_rintf(-lowest * inverse));
  zero = static_cast<int32_t>(shift[0]);
  for (int64_t c = 0; c < padded; c += 16) {
    // Zeros behind the depth as well: their weights are 0.
    const VF v = load_n<true>(x + c, depth - c) * inverse;
    const __m512i whole = _mm512_cvtps_epi32(_mm512_roundscale_ps(v, 8) + shift);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c),
                     _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512())));
  }
}

// Steps and sums of 16 columns of weights.
struct Column {
  VF scale;
  Sum sums;
  MP_INLINE Column(const LowMatrix& w, int64_t column, int64_t left) {
    const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    scale = _mm512_maskz_loadu_ps(mask, w.scale + column), sums = _mm512_maskz_loadu_epi32(mask, w.sums + column);
  }
  MP_INLINE VF value(Sum sum, const LowRows& rows, int64_t row) const {
    const Sum exact = _mm512_sub_epi32(sum, _mm512_mullo_epi32(sums, _mm512_set1_epi32(rows.zero[row])));
    return _mm512_cvtepi32_ps(exact) * (scale * rows.scale[row]);
  }
};

inline void convert(const LowProduct& g, const LowRows& rows, int64_t begin, int64_t end) {
  const int64_t depth = g.weight.depth, stride = depth_bytes(kPrecision, depth);
  for (int64_t r = begin; r < end; r++)
    quantise_row(g.x + r * g.x_stride, depth, stride, rows.values + r * stride, rows.scale[r], rows.zero[r]);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
