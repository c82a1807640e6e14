// Kernels for AVX2 and FMA. Every header of the system comes before the pragma: an inline function of the
// standard library compiled with AVX2 could be the copy that the linker keeps for everybody.
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernel_table.h"

#ifdef MP_HAVE_X86_ISAS
#include <immintrin.h>
#pragma GCC target("avx2,fma")
#define MP_ISA avx2
#define MP_BYTES 32
#include "isa_table.h"
#endif
