// Products in bfloat16 with the tiles of AMX. For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "../low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,amx-tile,amx-bf16,avx2,fma,prefer-vector-width=512")
#define MP_ISA before_amx_bf16
#define MP_BYTES 64
#define MP_TILE_DOT _tile_dpbf16ps
#include "../simd.h"
#include "bf16_store.h"
#include "../simd_math.h"
#include "low_math.h"
#include "low_gelu.h"
#include "low_bf16.h"
#include "low_finish.h"
#include "amx_product_kernel.h"

namespace mamba_prune::before_amx_bf16 {
extern const LowKernels kernels;
const LowKernels kernels = {"before_amx_bf16", kPrecision, convert, amx_multiply, kAmxRows, softmax, scale_rows};
}  // namespace mamba_prune::before_amx_bf16
#endif
