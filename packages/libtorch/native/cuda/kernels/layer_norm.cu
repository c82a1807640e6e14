// Layer normalisation over the last dimension (Ba et al. 2016, arXiv 1607.06450), forward and backward; a warp per row,
// the row in registers. The backward pass also adds the gradient that reaches x past the layer (the residual's).
//
// Defined by the caller: WIDTH, VECTOR (neighbouring elements of a lane), HAS_SKIP, THREADS.
#include "layer_norm_row.cuh"
#include "norm_interface.h"

using namespace mamba_prune::cuda::norm_kernel;
using Args = NormArgs<scalar>;

extern "C" __global__ void __launch_bounds__(THREADS) norm_forward(const Args a) {
  const int warps = gridDim.x * (THREADS / 32);
  Row weight, bias;
  weight.read_floats(a.weight), bias.read_floats(a.bias);
  for (int row = blockIdx.x * (THREADS / 32) + (threadIdx.x >> 5); row < a.rows; row += warps) {
    Row x;
    x.read(a.x + row * a.x_row);
    normalize(x, a.eps);
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) x.v[i][k] = x.v[i][k] * weight.v[i][k] + bias.v[i][k];
    x.write(a.y + row * a.y_row);
  }
}

// Whether a row is small enough to have the next one on its way in registers, with 8 blocks a multiprocessor, which is
// what the host launches.
constexpr bool kAhead = sizeof(scalar) == 2 && VECTOR == 2 && kPer * VECTOR <= 8;

extern "C" __global__ void __launch_bounds__(THREADS, kAhead ? 8 : 1) norm_backward(const Args a) {
  constexpr int kWarps = THREADS / 32;
  constexpr int kSums = HAS_SKIP ? 3 : 2;
  __shared__ float sums[kWarps][kSums * WIDTH];
  const int warps = gridDim.x * kWarps, warp = threadIdx.x >> 5;
  Row weight, dweight, dbias, total;
  weight.read_floats(a.weight);
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) dweight.v[i][k] = 0.0f, dbias.v[i][k] = 0.0f, total.v[i][k] = 0.0f;
  NextRow next_x, next_dy, next_skip;
  const auto read = [&](int row) {
    next_x.read(a.x + row * a.x_row), next_dy.read(a.dy + row * a.dy_row);
    if (HAS_SKIP) next_skip.read(a.dskip + row * a.dskip_row);
  };
  int row = blockIdx.x * kWarps + warp;
  if (kAhead && row < a.rows) read(row);
  for (; row < a.rows; row += warps) {
    if (!kAhead) read(row);
    Row x, dy, skip;
    x.take(next_x), dy.take(next_dy);
    if (HAS_SKIP) skip.take(next_skip);
    if (kAhead && row + warps < a.rows) read(row + warps);
    const float scale = normalize(x, a.eps);
    float mean = 0.0f, along = 0.0f;
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) {
        dweight.v[i][k] += dy.v[i][k] * x.v[i][k], dbias.v[i][k] += dy.v[i][k];
        dy.v[i][k] *= weight.v[i][k];
        mean += dy.v[i][k], along += dy.v[i][k] * x.v[i][k];
      }
    mean = warp_sum(mean) * (1.0f / WIDTH), along = warp_sum(along) * (1.0f / WIDTH);
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) {
        const float dx = scale * (dy.v[i][k] - mean - x.v[i][k] * along);
        if (HAS_SKIP) total.v[i][k] += skip.v[i][k];
        x.v[i][k] = HAS_SKIP ? dx + skip.v[i][k] : dx;
      }
    x.write(a.dx + row * a.dx_row);
  }
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++)
      if (column(i) < WIDTH) {
        sums[warp][column(i) + k] = dweight.v[i][k], sums[warp][WIDTH + column(i) + k] = dbias.v[i][k];
        if (HAS_SKIP) sums[warp][2 * WIDTH + column(i) + k] = total.v[i][k];
      }
  __syncthreads();
  for (int i = threadIdx.x; i < kSums * WIDTH; i += THREADS) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) sum += sums[w][i];
    a.partial[(i64)blockIdx.x * kSums * WIDTH + i] = sum;
  }
}
