// The backward pass of GELU in its tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415), with the column sums of the
// result, which are the gradient of the bias in front of it. cuBLAS can do both behind a product, but takes longer.
//
// A warp takes 32 VECTOR columns and every eighth row of its block's. Defined by the caller: VECTOR.
#include "gelu_interface.h"

using namespace mamba_prune::cuda::gelu_kernel;

__device__ __forceinline__ float gelu_slope(float x) {
  constexpr float kRoot = 0.7978845608f, kCubic = 0.044715f;  // sqrt(2 / pi)
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(kRoot * x * (1.0f + kCubic * x * x)));
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * kRoot * (1.0f + 3.0f * kCubic * x * x);
}

extern "C" __global__ void __launch_bounds__(kThreads) gelu_backward(const GeluArgs<scalar> a) {
  __shared__ float sums[kWarps][32 * VECTOR];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, column = (blockIdx.x * 32 + lane) * VECTOR;
  float total[VECTOR];
#pragma unroll
  for (int v = 0; v < VECTOR; v++) total[v] = 0.0f;
  if (column < a.columns) {
#pragma unroll 4
    for (int row = blockIdx.y * kWarps + warp; row < a.rows; row += gridDim.y * kWarps) {
      float d[VECTOR], x[VECTOR];
      load<VECTOR>(d, a.gradient + (i64)row * a.columns + column),
          load<VECTOR>(x, a.before + (i64)row * a.columns + column);
#pragma unroll
      for (int v = 0; v < VECTOR; v++) d[v] *= gelu_slope(x[v]), total[v] += d[v];
      store<VECTOR>(a.gradient + (i64)row * a.columns + column, d);
    }
  }
#pragma unroll
  for (int v = 0; v < VECTOR; v++) sums[warp][lane * VECTOR + v] = total[v];
  __syncthreads();
  for (int i = threadIdx.x; i < 32 * VECTOR; i += kThreads) {
    const int at = blockIdx.x * 32 * VECTOR + i;
    if (at >= a.columns) continue;
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) sum += sums[w][i];
    a.partial[(i64)blockIdx.y * a.columns + at] = sum;
  }
}
