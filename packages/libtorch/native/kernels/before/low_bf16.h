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

// exp(scale (x - the row's largest)); the sums are of what was written.
inline void softmax(const LowSoftmax& g, int64_t rows) {
  const int64_t bytes = depth_bytes(kPrecision, g.count);
  const float factor = g.scale * kLog2eFloat;
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
  for (int64_t r = 0; r < rows; r++) {
    const float* row = g.scores + r * g.stride;
    uint8_t* out = g.out + r * bytes;
    VF highest = splat<float>(-__builtin_inff());
    for (int64_t i = 0; i < g.count; i += 16)
      highest = _mm512_mask_max_ps(highest, lanes_below(g.count - i), highest, load(row + i));
    const VF least = splat<float>(-factor * _mm512_reduce_max_ps(highest));
    __m512 total = _mm512_setzero_ps();
    for (int64_t i = 0; 2 * i < bytes; i += 32) {
      VF e[2];
#pragma GCC unroll 2
      for (int h = 0; h < 2; h++)
        e[h] =
            _mm512_maskz_mov_ps(lanes_below(g.count - i - 16 * h), exp2_low(load(row + i + 16 * h) * factor + least));
      const __m512bh pair = _mm512_cvtne2ps_pbh(e[1], e[0]);
      total = _mm512_dpbf16_ps(total, pair, ones);
      __builtin_memcpy(out + 2 * i, &pair, sizeof pair);
    }
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
