// Two neighbouring numbers of 16 bits in one register.
#pragma once

__device__ __forceinline__ u32 pair(float low, float high) {
  u32 r;
#if SCALAR == MAMBA_PRUNE_BFLOAT16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#endif
  return r;
}
__device__ __forceinline__ float low_of(u32 pair) {
  scalar v;
  v.bits = (u16)(pair & 0xffff);
  return up(v);
}
__device__ __forceinline__ float high_of(u32 pair) {
#if SCALAR == MAMBA_PRUNE_BFLOAT16
  return __uint_as_float(pair & 0xffff0000u);
#else
  scalar v;
  v.bits = (u16)(pair >> 16);
  return up(v);
#endif
}
