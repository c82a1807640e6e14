// Put before every kernel source: the element type, fast functions, warp sums. The host defines SCALAR,
// whose values interface.h names. Arithmetic is float32 throughout; only loads and stores know the element type.
#include "interface.h"

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

constexpr float kLog2e = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
constexpr u32 kAllLanes = 0xffffffffu;

#if SCALAR == MAMBA_PRUNE_FLOAT32
typedef float scalar;
__device__ __forceinline__ float up(scalar v) { return v; }
__device__ __forceinline__ scalar down(float v) { return v; }
#else
struct scalar {
  u16 bits;
};
#if SCALAR == MAMBA_PRUNE_BFLOAT16
__device__ __forceinline__ float up(scalar v) { return __uint_as_float((u32)v.bits << 16); }
__device__ __forceinline__ scalar down(float v) {
  scalar r;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
  return r;
}
#else
__device__ __forceinline__ float up(scalar v) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v.bits));
  return r;
}
__device__ __forceinline__ scalar down(float v) {
  scalar r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
  return r;
}
#endif
#endif

// `Count` neighbouring elements, moved by one instruction.
template <int Count> struct alignas(Count * sizeof(scalar)) Pack {
  scalar v[Count];
};
template <int Count> __device__ __forceinline__ void load(float (&to)[Count], const scalar* from) {
  const Pack<Count> p = *reinterpret_cast<const Pack<Count>*>(from);
#pragma unroll
  for (int i = 0; i < Count; i++) to[i] = up(p.v[i]);
}
template <int Count> __device__ __forceinline__ void store(scalar* to, const float (&from)[Count]) {
  Pack<Count> p;
#pragma unroll
  for (int i = 0; i < Count; i++) p.v[i] = down(from[i]);
  *reinterpret_cast<Pack<Count>*>(to) = p;
}

// The same as it lies in memory: what is loaded ahead of its use is taken apart as late as possible, since that waits
// for it.
#if SCALAR == MAMBA_PRUNE_FLOAT32
template <int Count> struct alignas(4 * Count) Raw {
  float v[Count];
  __device__ __forceinline__ float get(int i) const { return v[i]; }
};
#else
template <int Count> struct alignas(2 * Count) Raw {
  u32 v[Count / 2];
  __device__ __forceinline__ float get(int i) const { return up(scalar{(u16)(v[i / 2] >> i % 2 * 16)}); }
};
template <> struct alignas(2) Raw<1> {
  u16 v;
  __device__ __forceinline__ float get(int) const { return up(scalar{v}); }
};
#endif

__device__ __forceinline__ float ex2(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
__device__ __forceinline__ float lg2(float x) {
  float r;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
#if SCALAR == MAMBA_PRUNE_FLOAT32
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + ex2(-kLog2e * x)); }
#else
// One instruction of the special function units instead of two; its error, 2^-11, is below the type's.
__device__ __forceinline__ float sigmoid(float x) {
  float r;
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(0.5f * x));
  return 0.5f * r + 0.5f;
}
#endif
// tanh form: 0.5 v (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))).
__device__ __forceinline__ float gelu(float v) {
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(v * (0.7978845608f + 0.0356774081f * v * v)));
  const float half = 0.5f * v;
  return half * t + half;
}
// log(1 + e^x). For small e^x the logarithm of a number near 1 loses digits; the series does not.
__device__ __forceinline__ float softplus(float x) {
  const float e = ex2(kLog2e * x);
  const float small = e * (1.0f - e * (0.5f - e * (1.0f / 3.0f - e * 0.25f)));
  const float large = kLn2 * lg2(1.0f + e);
  return x > 20.0f ? x : e < 0.03125f ? small : large;
}

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) v += __shfl_xor_sync(kAllLanes, v, step);
  return v;
}
