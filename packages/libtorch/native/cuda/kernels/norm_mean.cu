// Layer normalisation of all tokens of an image, and their mean, which is all that a classifier reads: the normalised
// tokens never reach memory, and neither do their gradients, which are one row an image. A block takes an image, a warp
// every kWarps-th token.
//
// Defined by the caller: WIDTH, VECTOR (neighbouring elements of a lane).
#include "layer_norm_row.cuh"
#include "norm_mean_interface.h"

using namespace mamba_prune::cuda::norm_mean_kernel;
using Args = NormMeanArgs<scalar>;

constexpr int kWarps = kThreads / 32;

// Each token of this warp in turn, with the next one on its way.
template <class Work> __device__ __forceinline__ void for_tokens(const Args& a, const Work& work) {
  const i64 image = (i64)blockIdx.x * a.length;
  NextRow next;
  int token = threadIdx.x >> 5;
  if (token < a.length) next.read(a.x + (image + token) * WIDTH);
  for (; token < a.length; token += kWarps) {
    Row x;
    x.take(next);
    if (token + kWarps < a.length) next.read(a.x + (image + token + kWarps) * WIDTH);
    const float scale = normalize(x, a.eps);
    work(x, scale, (image + token) * WIDTH);
  }
}

extern "C" __global__ void __launch_bounds__(kThreads) norm_mean_forward(const Args a) {
  __shared__ float sums[kWarps][WIDTH];
  Row total;
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) total.v[i][k] = 0.0f;
  for_tokens(a, [&](const Row& x, float, i64) {
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) total.v[i][k] += x.v[i][k];
  });
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++)
      if (column(i) < WIDTH) sums[threadIdx.x >> 5][column(i) + k] = total.v[i][k];
  __syncthreads();
  for (int i = threadIdx.x; i < WIDTH; i += kThreads) {
    float sum = 0.0f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) sum += sums[w][i];
    const float mean = sum / a.length;
    const i64 at = (i64)blockIdx.x * WIDTH + i;
    a.mean[at] = mean, a.out[at] = mean * a.weight[i] + a.bias[i];
  }
}

extern "C" __global__ void __launch_bounds__(kThreads) norm_mean_backward(const Args a) {
  const float* dout = a.dout + (i64)blockIdx.x * WIDTH;
  // Every token of the image has the same gradient.
  Row dy, weight;
  dy.read_floats(dout), weight.read_floats(a.weight);
  float mean = 0.0f;
  const float share = 1.0f / a.length;
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) dy.v[i][k] *= weight.v[i][k] * share, mean += dy.v[i][k];
  mean = warp_sum(mean) * (1.0f / WIDTH);
  for_tokens(a, [&](Row& x, float scale, i64 at) {
    float along = 0.0f;
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) along += dy.v[i][k] * x.v[i][k];
    along = warp_sum(along) * (1.0f / WIDTH);
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) x.v[i][k] = scale * (dy.v[i][k] - mean - x.v[i][k] * along);
    x.write(a.dx + at);
  });
  float* partial = a.partial + (i64)blockIdx.x * 2 * WIDTH;
  for (int i = threadIdx.x; i < WIDTH; i += kThreads)
    partial[i] = dout[i] * a.mean[(i64)blockIdx.x * WIDTH + i], partial[WIDTH + i] = dout[i];
}
