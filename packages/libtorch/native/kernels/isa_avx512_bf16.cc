// Products in bfloat16 with AVX512_BF16. For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,avx2,fma,prefer-vector-width=512")
#define MP_ISA avx512_bf16
#define MP_BYTES 64
#include "simd.h"
#include "simd_math.h"
#include "gelu_kernel.h"

namespace mamba_prune {
namespace MP_ISA {

typedef Vec<float> VF;
typedef __m512 Sum;
constexpr LowPrecision kPrecision = LowPrecision::bf16;

MP_INLINE void dot(Sum& sum, __m512i weight, __m512i x) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(weight), "v"(x));
}

// What belongs to 16 columns of weights: nothing here.
struct Column {
  MP_INLINE Column(const LowMatrix&, int64_t, int64_t) {}
  MP_INLINE VF value(Sum sum, const LowRows&, int64_t) const { return sum; }
};

// Nearest, even on a tie.
inline void convert(const LowProduct& g, const LowRows& rows, int64_t begin, int64_t end) {
  const int64_t depth = g.weight.depth, stride = depth_bytes(kPrecision, depth);
  for (int64_t r = begin; r < end; r++) {
    const float* x = g.x + r * g.x_stride;
    uint8_t* out = rows.values + r * stride;
    for (int64_t c = 0; 2 * c < stride; c += 32) {
      const VF first = load_n<true>(x + c, depth - c), second = load_n<true>(x + c + 16, depth - c - 16);
      const __m512bh pair = _mm512_cvtne2ps_pbh(second, first);
      __builtin_memcpy(out + 2 * c, &pair, sizeof pair);
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
#include "low_product_kernel.h"

namespace mamba_prune::avx512_bf16 {
extern const LowKernels kernels;
const LowKernels kernels = {"avx512_bf16", kPrecision, convert, low_multiply, kLowRows};
}  // namespace mamba_prune::avx512_bf16
#endif
