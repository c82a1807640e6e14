// Numbers in bfloat16 for processors with AVX-512. Included after simd.h, where MP_BYTES is 64.
namespace mamba_prune {
namespace MP_ISA {

MP_INLINE __mmask16 lanes_below(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

// To the nearest; NaN stays NaN. With MP_ROUNDS_BF16 by an instruction, even on a tie, else away from zero on a tie.
MP_INLINE __m256i round_bf16(Vec<float> value) {
#ifdef MP_ROUNDS_BF16
  return (__m256i)_mm512_cvtneps_pbh(value);
#else
  const __m512i bits = (__m512i)value;
  const __mmask16 number = _mm512_cmp_ps_mask(value, value, _CMP_ORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_srli_epi32(_mm512_mask_add_epi32(bits, number, bits, _mm512_set1_epi32(0x8000)), 16));
#endif
}

MP_INLINE Vec<float> load_bf16(const uint16_t* at) {
  __m256i half;
  __builtin_memcpy(&half, at, sizeof half);
  return (Vec<float>)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
}

// Zeros in the lanes from `left` on.
template <bool Tail> MP_INLINE Vec<float> keep_lanes(Vec<float> value, int64_t left) {
  return !Tail || left >= 16 ? value : (Vec<float>)_mm512_maskz_mov_ps(lanes_below(left), value);
}

// 16 numbers from column `column` on of a row of `stride` bytes, of which `left` are columns and the others zeros; and
// zeros up to the next 32nd column. With Tail = false the caller knows that both are there already.
template <bool Tail>
MP_INLINE void store_bf16(uint8_t* row, int64_t stride, int64_t column, __m256i value, int64_t left) {
  __builtin_memcpy(row + 2 * column, &value, sizeof value);
  if (Tail && left <= 16 && 2 * column + 32 < stride) __builtin_memset(row + 2 * column + 32, 0, 32);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
