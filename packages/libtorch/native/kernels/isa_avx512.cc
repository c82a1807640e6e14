// Kernels for AVX-512 (F, DQ, VL). For the order of the includes see isa_avx2.cc.
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernel_table.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
// GCC 12's own _mm512_undefined_ps() reads an uninitialised variable on purpose and warns about it.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define MP_ISA avx512
#define MP_BYTES 64
#include "isa_table.h"
#endif
