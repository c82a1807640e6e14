// Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467), forward and
// backward; a warp per row, the row in registers. What it normalises is a residual stream in float32, whatever the type
// of the branch that reads the result; the backward pass also adds the gradient that reaches the stream past the
// branch.
//
// Defined by the caller: WIDTH, VECTOR (neighbouring elements of a lane), HAS_SKIP, THREADS.
#include "norm_interface.h"
#include "norm_row.cuh"

using namespace mamba_prune::cuda::norm_kernel;
using Args = RmsNormArgs<scalar>;

extern "C" __global__ void __launch_bounds__(THREADS) rms_norm_forward(const Args a) {
  const int warps = gridDim.x * (THREADS / 32);
  Row weight;
  weight.read_floats(a.weight);
  for (int row = blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5); row < a.rows; row += warps) {
    Row x;
    x.read_stream(a.x + row * a.x_row);
    scale_to_one(x, a.eps);
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) x.v[i][k] *= weight.v[i][k];
    x.write(a.y + row * a.y_row);
  }
}

// With n = x scale and g = dy weight: dx = scale (g - n mean(g n)).
extern "C" __global__ void __launch_bounds__(THREADS) rms_norm_backward(const Args a) {
  constexpr int kWarps = THREADS / 32;
  __shared__ float sums[kWarps][WIDTH];
  const int warps = gridDim.x * kWarps, warp = threadIdx.x >> 5;
  Row weight, dweight;
  weight.read_floats(a.weight);
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) dweight.v[i][k] = 0.0f;
  for (int row = blockIdx.x * kWarps + warp; row < a.rows; row += warps) {
    Row x, dy, skip;
    x.read_stream(a.x + row * a.x_row), dy.read(a.dy + row * a.dy_row);
    if (HAS_SKIP) skip.read_stream(a.dskip + row * a.dskip_row);
    const float scale = scale_to_one(x, a.eps);
    float along = 0.0f;
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) {
        dweight.v[i][k] += dy.v[i][k] * x.v[i][k];
        dy.v[i][k] *= weight.v[i][k];
        along += dy.v[i][k] * x.v[i][k];
      }
    along = warp_sum(along) * (1.0f / WIDTH);
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) {
        const float dx = scale * (dy.v[i][k] - x.v[i][k] * along);
        x.v[i][k] = HAS_SKIP ? dx + skip.v[i][k] : dx;
      }
    x.write_stream(a.dx + row * a.dx_row);
  }
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++)
      if (column(i) < WIDTH) sums[warp][column(i) + k] = dweight.v[i][k];
  __syncthreads();
  for (int i = threadIdx.x; i < WIDTH; i += THREADS) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) sum += sums[w][i];
    a.partial[(i64)blockIdx.x * WIDTH + i] = sum;
  }
}
