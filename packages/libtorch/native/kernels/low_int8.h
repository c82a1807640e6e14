// Activations in 8-bit integers, and what becomes of integer sums. Included by isa_*_int8.cc and isa_avx512_vnni.cc
// after simd.h.
namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
typedef __m512i Sum;
constexpr LowPrecision kPrecision = LowPrecision::int8;
constexpr float kLeastRange = 1e-30f;

MP_INLINE __m256i bf16_of(VF value) { return round_bf16(value); }

// The least and the largest of a row and 0, and whether it holds NaN, which minimum and maximum leave out.
struct RowRange {
  VF low{}, high{};
  __mmask16 wrong = 0;
  // 64 numbers, of which `left` are there. One minimum of four waits for the one before.
  template <bool Tail> MP_INLINE void take(const float* x, int64_t left) {
    VF v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) v[i] = load_n<Tail>(x + 16 * i, left - 16 * i);
    low = _mm512_min_ps(low, _mm512_min_ps(_mm512_min_ps(v[0], v[1]), _mm512_min_ps(v[2], v[3])));
    high = _mm512_max_ps(high, _mm512_max_ps(_mm512_max_ps(v[0], v[1]), _mm512_max_ps(v[2], v[3])));
    wrong |= _mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) | _mm512_cmp_ps_mask(v[2], v[3], _CMP_UNORD_Q);
  }
};

// 64 integers of a row from x on, of which `left` are there; behind them are zeros, whose weights are 0.
template <bool Tail> MP_INLINE void quantise_some(const float* x, int64_t left, VF inverse, VF zero, uint8_t* out) {
  __m512i whole[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) whole[i] = _mm512_cvtps_epi32(load_n<Tail>(x + 16 * i, left - 16 * i) * inverse + zero);
  // Saturating conversions work within 128 bits: this brings the numbers back into order.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i bytes =
      _mm512_packus_epi16(_mm512_packs_epi32(whole[0], whole[1]), _mm512_packs_epi32(whole[2], whole[3]));
  _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, bytes));
}

// Integers from 0 to 255 in steps of (highest - lowest) / 255, 0 being one of them: x = scale (integer - zero).
inline void quantise_row(const float* x, int64_t depth, int64_t padded, uint8_t* out, float& scale, float& zero) {
  RowRange range;
  int64_t c = 0;
  for (; c + 64 <= depth; c += 64) range.take<false>(x + c, 64);
  if (c < depth) range.take<true>(x + c, depth - c);
  const float lowest = _mm512_reduce_min_ps(range.low), highest = _mm512_reduce_max_ps(range.high);
  const float width = highest - lowest;
  const bool finite = range.wrong == 0 && lowest >= -__FLT_MAX__ && highest <= __FLT_MAX__;
  // What is no number must be seen in the result: the row's scale makes all of it NaN. A row of zeros, or of numbers
  // whose inverse step is beyond float32, becomes zeros.
  const float inverse = finite && width > kLeastRange ? 255 / width : 0.0f;
  scale = finite ? width * (1.0f / 255) : __builtin_nanf("");
  zero = finite ? __builtin_rintf(-lowest * inverse) : 0.0f;
  const VF factor = splat<float>(inverse), shift = splat<float>(zero);
  for (c = 0; c + 64 <= depth; c += 64) quantise_some<false>(x + c, 64, factor, shift, out + c);
  if (c < padded) quantise_some<true>(x + c, depth - c, factor, shift, out + c);
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
