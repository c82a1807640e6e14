// What makes one source of augment.cu for both devices: functions of either, the threads of an image, and arithmetic
// that both round alike. augment.cu undefines the macros at its end.
#pragma once
#include "augment_interface.h"

#ifdef __CUDACC__
#define MP_FUNCTION static __device__
// What one thread does alone, or what is called twice: inlined, it would take the pixel loops' registers.
#define MP_APART static __device__ __noinline__
#else
#define MP_FUNCTION static inline
#define MP_APART static
#endif

namespace mamba_prune {
namespace augment {

// The threads that make one image together.
struct Team {
  int rank, size;
};

MP_FUNCTION void meet() {
#ifdef __CUDACC__
  __syncthreads();
#endif
}
MP_FUNCTION void add_to(u32* sum, u32 value) {
#ifdef __CUDACC__
  atomicAdd(sum, value);
#else
  *sum += value;
#endif
}
MP_FUNCTION void add_to(u64* sum, u64 value) {
#ifdef __CUDACC__
  atomicAdd(sum, value);
#else
  *sum += value;
#endif
}
MP_FUNCTION void lower_to(u32* least, u32 value) {
#ifdef __CUDACC__
  atomicMin(least, value);
#else
  if (value < *least) *least = value;
#endif
}
MP_FUNCTION void raise_to(u32* most, u32 value) {
#ifdef __CUDACC__
  atomicMax(most, value);
#else
  if (value > *most) *most = value;
#endif
}
// A product that is rounded before it is added to: a fused one would round otherwise than the CPU does.
MP_FUNCTION double product(double x, double y) {
#ifdef __CUDACC__
  return __dmul_rn(x, y);
#else
  return x * y;
#endif
}
MP_FUNCTION float product(float x, float y) {
#ifdef __CUDACC__
  return __fmul_rn(x, y);
#else
  return x * y;
#endif
}
MP_FUNCTION int smaller(int x, int y) { return x < y ? x : y; }
MP_FUNCTION int larger(int x, int y) { return x > y ? x : y; }
MP_FUNCTION double smaller(double x, double y) { return x < y ? x : y; }
MP_FUNCTION double larger(double x, double y) { return x > y ? x : y; }

}  // namespace augment
}  // namespace mamba_prune
