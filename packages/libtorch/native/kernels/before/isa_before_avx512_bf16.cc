// Products in bfloat16 with AVX512_BF16. For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "../low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,avx2,fma,prefer-vector-width=512")
#define MP_ISA before_avx512_bf16
#define MP_BYTES 64
#include "../simd.h"
#include "bf16_store.h"
#include "../simd_math.h"
#include "low_math.h"
#include "low_gelu.h"
#include "low_bf16.h"

namespace mamba_prune {
namespace MP_ISA {

MP_INLINE void dot(Sum& sum, __m512i weight, __m512i x) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(weight), "v"(x));
}

}  // namespace MP_ISA
}  // namespace mamba_prune
#include "low_finish.h"
#include "low_product_kernel.h"

namespace mamba_prune::before_avx512_bf16 {
extern const LowKernels kernels;
const LowKernels kernels = {"before_avx512_bf16", kPrecision, convert, low_multiply, kLowRows, softmax, scale_rows};
}  // namespace mamba_prune::before_avx512_bf16
#endif
