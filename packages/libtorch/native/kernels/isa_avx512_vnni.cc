// Products in 8-bit integers with AVX512_VNNI. For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512vnni,avx2,fma,prefer-vector-width=512")
#define MP_ISA avx512_vnni
#define MP_BYTES 64
#include "simd.h"
#include "simd_math.h"
#include "gelu_kernel.h"
#include "low_convert.h"

namespace mamba_prune {
namespace MP_ISA {

typedef __m512i Sum;
constexpr LowPrecision kPrecision = LowPrecision::int8;

// Activations without a sign times weights with one.
MP_INLINE void dot(Sum& sum, __m512i weight, __m512i x) {
  asm("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(weight), "v"(x));
}

// Steps and sums of 16 columns of weights.
struct Column {
  VF scale;
  __m512i sums;
  MP_INLINE Column(const LowMatrix& w, int64_t column, int64_t left) {
    const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    scale = _mm512_maskz_loadu_ps(mask, w.scale + column), sums = _mm512_maskz_loadu_epi32(mask, w.sums + column);
  }
  MP_INLINE VF value(Sum sum, const LowRows& rows, int64_t row) const {
    const __m512i exact = _mm512_sub_epi32(sum, _mm512_mullo_epi32(sums, _mm512_set1_epi32(rows.zero[row])));
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
#include "low_product_kernel.h"

namespace mamba_prune::avx512_vnni {
extern const LowKernels kernels;
const LowKernels kernels = {"avx512_vnni", kPrecision, convert, low_multiply, kLowRows};
}  // namespace mamba_prune::avx512_vnni
#endif
