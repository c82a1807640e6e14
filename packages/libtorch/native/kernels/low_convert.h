// Rows of activations in 8-bit integers, and what becomes of integer sums. Included by isa_avx512_*.cc after simd.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
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

}  // namespace MP_ISA
}  // namespace mamba_prune
