// Activations in 8-bit integers, and what becomes of integer sums. Included by isa_*_int8.cc and isa_avx512_vnni.cc
// after simd.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
typedef __m512i Sum;
constexpr LowPrecision kPrecision = LowPrecision::int8;
constexpr float kLeastRange = 1e-30f;

MP_INLINE __m256i bf16_of(VF value) { return round_bf16(value); }

// Integers from 0 to 255 in steps of (highest - lowest) / 255, 0 being one of them: x = scale (integer - zero).
inline void quantise_row(const float* x, int64_t depth, int64_t padded, uint8_t* out, float& scale, float& zero) {
  VF low{}, high{};
  __mmask16 wrong = 0;  // NaN, which minimum and maximum leave out
  for (int64_t c = 0; c < depth; c += 32) {
    const VF v = load_n<true>(x + c, depth - c), w = load_n<true>(x + c + 16, depth - c - 16);
    low = _mm512_min_ps(w, _mm512_min_ps(v, low)), high = _mm512_max_ps(w, _mm512_max_ps(v, high));
    wrong |= _mm512_cmp_ps_mask(v, w, _CMP_UNORD_Q);
  }
  const float lowest = _mm512_reduce_min_ps(low), highest = _mm512_reduce_max_ps(high), range = highest - lowest;
  const bool finite = wrong == 0 && lowest >= -__FLT_MAX__ && highest <= __FLT_MAX__;
  // What is no number must be seen in the result: the row's scale makes all of it NaN. A row of zeros, or of numbers
  // whose inverse step is beyond float32, becomes zeros.
  const float inverse = finite && range > kLeastRange ? 255 / range : 0.0f;
  scale = finite ? range * (1.0f / 255) : __builtin_nanf("");
  zero = finite ? __builtin_rintf(-lowest * inverse) : 0.0f;
  const __m512i shift = _mm512_set1_epi32(static_cast<int32_t>(zero));
  // Saturating conversions work within 128 bits: this brings the numbers back into order.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (int64_t c = 0; c < padded; c += 64) {
    __m512i whole[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      // Zeros behind the depth as well: their weights are 0.
      const VF v = load_n<true>(x + c + 16 * i, depth - c - 16 * i) * inverse;
      whole[i] = _mm512_add_epi32(_mm512_cvtps_epi32(v), shift);
    }
    const __m512i bytes =
        _mm512_packus_epi16(_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
    _mm512_storeu_si512(out + c, _mm512_permutexvar_epi32(order, bytes));
  }
}

// Steps and sums of 16 columns of weights. Zeros are taken back in float32, which is exact below 2^24 and rounds once
// above it; a product of 32-bit integers takes AMX's processors several times as long.
struct Column {
  VF scale, sums;
  MP_INLINE Column(const LowMatrix& w, int64_t column, int64_t left) {
    scale = load_n<true>(w.scale + column, left);
    sums = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(lanes_below(left), w.sums + column));
  }
  MP_INLINE VF value(Sum sum, const LowRows& rows, int64_t row) const {
    const VF exact = _mm512_fnmadd_ps(sums, splat<float>(rows.zero[row]), _mm512_cvtepi32_ps(sum));
    return exact * (scale * rows.scale[row]);
  }
};

inline void convert(const float* from, int64_t from_stride, int64_t depth, const LowRows& rows, int64_t begin,
                    int64_t end) {
  const int64_t stride = depth_bytes(kPrecision, depth);
  for (int64_t r = begin; r < end; r++)
    quantise_row(from + r * from_stride, depth, stride, rows.values + r * stride, rows.scale[r], rows.zero[r]);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
