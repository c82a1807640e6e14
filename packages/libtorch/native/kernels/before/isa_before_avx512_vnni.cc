// Products in 8-bit integers with AVX512_VNNI. For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "../low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512vnni,avx2,fma,prefer-vector-width=512")
#define MP_ISA before_avx512_vnni
#define MP_BYTES 64
#include "../simd.h"
#include "bf16_store.h"
#include "low_gelu.h"
#include "low_int8.h"

namespace mamba_prune {
namespace MP_ISA {

// Activations without a sign times weights with one.
MP_INLINE void dot(Sum& sum, __m512i weight, __m512i x) {
  asm("vpdpbusd %1, %2, %0" : "+v"(sum) : "v"(weight), "v"(x));
}

}  // namespace MP_ISA
}  // namespace mamba_prune
#include "low_finish.h"
#include "low_product_kernel.h"

namespace mamba_prune::before_avx512_vnni {
extern const LowKernels kernels;
const LowKernels kernels = {"before_avx512_vnni", kPrecision, convert, low_multiply, kLowRows};
}  // namespace mamba_prune::before_avx512_vnni
#endif
