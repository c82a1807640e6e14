// What the kernels of the selective scan share: where a step lies in memory, rates of decay and step sizes, and
// checkpoints as they lie in memory. scan.cu says what the caller defines.
#pragma once
#include "scan_interface.h"

using namespace mamba_prune::cuda::scan_kernel;
#if COLUMNS
using Args = ColumnScanArgs<scalar>;
#else
using Args = ScanArgs<scalar>;
#endif
using Grads = ScanGrads<scalar>;

// Where a sequence begins, and the way from a step to the next one: scanned backwards it begins at its last row.
template <class T> __device__ __forceinline__ T* sequence(T* data, int row, const Args& s, int batch) {
  return data + ((i64)batch * s.length + (REVERSE && !COLUMNS ? s.length - 1 : 0)) * row;
}
__device__ __forceinline__ int stride(int row) { return REVERSE && !COLUMNS ? -row : row; }
// How many such ways from where a sequence begins a step lies.
__device__ __forceinline__ int place(const Args& s, int t) {
#if COLUMNS
  const int step = REVERSE ? s.length - 1 - t : t, column = (int)__umulhi((u32)step, s.inverse);
  return (step - column * s.height) * s.columns + column;
#else
  return t;
#endif
}

// Rate of decay in base 2, so that exp(dt A) is one instruction.
__device__ __forceinline__ float decay_rate(const Args& s, int channel, int state) {
  if (state >= N) return 0.0f;
  const float a = s.A[(i64)channel * N + state];
  return (A_LOG ? -ex2(kLog2e * a) : a) * kLog2e;
}
__device__ __forceinline__ float step_size(float delta, float bias) {
  const float x = HAS_BIAS ? delta + bias : delta;
  return SOFTPLUS ? softplus(x) : x;
}
constexpr int kStates = saved_states(N);  // of a channel in a checkpoint

// Four states of a checkpoint as they lie in memory.
#if SCALAR == MAMBA_PRUNE_FLOAT32
typedef float4 Saved;
__device__ __forceinline__ Saved save_states(const float* h) { return make_float4(h[0], h[1], h[2], h[3]); }
__device__ __forceinline__ void restore_states(float* h, const Saved& v) {
  h[0] = v.x, h[1] = v.y, h[2] = v.z, h[3] = v.w;
}
#else
typedef uint2 Saved;
__device__ __forceinline__ u32 bfloat16_pair(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
__device__ __forceinline__ Saved save_states(const float* h) {
  return make_uint2(bfloat16_pair(h[0], h[1]), bfloat16_pair(h[2], h[3]));
}
__device__ __forceinline__ void restore_states(float* h, const Saved& v) {
  h[0] = __uint_as_float(v.x << 16), h[1] = __uint_as_float(v.x & 0xffff0000u);
  h[2] = __uint_as_float(v.y << 16), h[3] = __uint_as_float(v.y & 0xffff0000u);
}
#endif
