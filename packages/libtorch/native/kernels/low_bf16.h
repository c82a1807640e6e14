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

// 32 numbers to the nearest, even on a tie.
template <bool Tail> MP_INLINE void convert_some(const float* x, int64_t left, uint8_t* out) {
  const __m512bh pair = _mm512_cvtne2ps_pbh(load_n<Tail>(x + 16, left - 16), load_n<Tail>(x, left));
  __builtin_memcpy(out, &pair, sizeof pair);
}

inline void convert(const float* from, int64_t from_stride, int64_t depth, const LowRows& rows, int64_t begin,
                    int64_t end) {
  const int64_t stride = depth_bytes(kPrecision, depth);
  for (int64_t r = begin; r < end; r++) {
    const float* x = from + r * from_stride;
    uint8_t* out = rows.values + r * stride;
    int64_t c = 0;
    for (; c + 32 <= depth; c += 32) convert_some<false>(x + c, 32, out + 2 * c);
    if (c < depth) convert_some<true>(x + c, depth - c, out + 2 * c);
  }
}

MP_INLINE __m256i bf16_of(VF value) { return (__m256i)_mm512_cvtneps_pbh(value); }

// 32 numbers of exp(scale (x - the row's largest)), of which `left` are there and the others zeros; added to `total` as
// they were written.
template <bool Tail>
MP_INLINE __m512 exp_some(const float* x, float factor, VF least, int64_t left, uint8_t* out, __m512 total) {
  VF e[2];
#pragma GCC unroll 2
  for (int h = 0; h < 2; h++) e[h] = keep_lanes<Tail>(exp2_low(load(x + 16 * h) * factor + least), left - 16 * h);
  const __m512bh pair = _mm512_cvtne2ps_pbh(e[1], e[0]);
  __builtin_memcpy(out, &pair, sizeof pair);
  return _mm512_dpbf16_ps(total, pair, (__m512bh)_mm512_set1_epi16(0x3f80));
}

inline VF largest(const float* row, int64_t count) {
  VF highest[2] = {splat<float>(-__builtin_inff()), splat<float>(-__builtin_inff())};
  int64_t i = 0;
  for (; i + 32 <= count; i += 32)
    highest[0] = _mm512_max_ps(highest[0], load(row + i)), highest[1] = _mm512_max_ps(highest[1], load(row + i + 16));
  for (; i < count; i += 16)
    highest[0] = _mm512_mask_max_ps(highest[0], lanes_below(count - i), highest[0], load(row + i));
  return _mm512_max_ps(highest[0], highest[1]);
}

// exp(scale (x - the row's largest)); the sums are of what was written.
inline void softmax(const LowSoftmax& g, int64_t rows) {
  const int64_t bytes = depth_bytes(kPrecision, g.count);
  const float factor = g.scale * kLog2eFloat;
  for (int64_t r = 0; r < rows; r++) {
    const float* row = g.scores + r * g.stride;
    uint8_t* out = g.out + r * bytes;
    const VF least = splat<float>(-factor * _mm512_reduce_max_ps(largest(row, g.count)));
    __m512 total = _mm512_setzero_ps();
    int64_t i = 0;
    for (; i + 32 <= g.count; i += 32) total = exp_some<false>(row + i, factor, least, 32, out + 2 * i, total);
    if (i < g.count) total = exp_some<true>(row + i, factor, least, g.count - i, out + 2 * i, total);
    g.inverse[r] = 1 / _mm512_reduce_add_ps(total);
  }
}

inline void scale_rows(const LowScaled& g, int64_t rows) {
  for (int64_t r = 0; r < rows; r++) {
    const VF factor = splat<float>(g.factors[r]);
    for (int64_t c = 0; c < g.columns; c += 16) {
      const __m256i value = bf16_of(load_n<true>(g.x + r * g.x_stride + c, g.columns - c) * factor);
      _mm256_mask_storeu_epi16(g.out + r * g.out_stride + 2 * c, lanes_below(g.columns - c), value);
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
