// Causal depthwise convolution over time, with silu, forward and backward:
//   y_t = act(bias + sum_k w_k x_{t - TAPS + 1 + k})
// A thread owns VECTOR channels and walks along time with the last TAPS inputs in registers.
//
// Defined by the caller: TAPS, VECTOR, REVERSE (time runs backwards), HAS_BIAS, SILU, THREADS, RUN (steps whose
// results are a thread's), ADD_DX (add to dx instead of writing it).
#include "conv_interface.h"

using namespace mamba_prune::cuda::conv_kernel;
using Args = ConvArgs<scalar>;

__device__ __forceinline__ i64 row_of(const Args& a, int batch, int step) {
  return (i64)batch * a.length + (REVERSE ? a.length - 1 - step : step);
}

struct Filter {
  float w[VECTOR][TAPS], bias[VECTOR];
  __device__ __forceinline__ void read(const Args& a, int channel) {
#pragma unroll
    for (int v = 0; v < VECTOR; v++) {
      const int c = min(channel + v, a.channels - 1);
#pragma unroll
      for (int k = 0; k < TAPS; k++) w[v][k] = a.weight[(i64)c * TAPS + k];
      bias[v] = HAS_BIAS ? a.bias[c] : 0.0f;
    }
  }
};

// Inputs before the first step are zero.
__device__ __forceinline__ void read_step(float (&to)[VECTOR], const scalar* from, i64 row_stride, const Args& a,
                                          int batch, int step, int channel) {
  if (step >= 0 && step < a.length) load<VECTOR>(to, from + row_of(a, batch, step) * row_stride + channel);
  else
#pragma unroll
    for (int v = 0; v < VECTOR; v++) to[v] = 0.0f;
}

extern "C" __global__ void __launch_bounds__(THREADS) conv_forward(const Args a) {
  const int groups = a.width / VECTOR, runs = (a.length + RUN - 1) / RUN;
  const i64 index = (i64)blockIdx.x * THREADS + threadIdx.x;
  if (index >= (i64)groups * runs * a.batch) return;
  const int channel = (int)(index % groups) * VECTOR;
  const int first = (int)(index / groups % runs) * RUN, batch = (int)(index / groups / runs);
  Filter f;
  f.read(a, channel);
  float window[TAPS][VECTOR];  // the last TAPS inputs, oldest first
#pragma unroll
  for (int k = 1; k < TAPS; k++) read_step(window[k], a.x, a.x_row, a, batch, first - TAPS + k, channel);
#pragma unroll 4
  for (int t = first; t < min(first + RUN, a.length); t++) {
    float y[VECTOR];
#pragma unroll
    for (int k = 0; k + 1 < TAPS; k++)
#pragma unroll
      for (int v = 0; v < VECTOR; v++) window[k][v] = window[k + 1][v];
    read_step(window[TAPS - 1], a.x, a.x_row, a, batch, t, channel);
#pragma unroll
    for (int v = 0; v < VECTOR; v++) {
      float sum = f.bias[v];
#pragma unroll
      for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * window[k][v];
      y[v] = SILU ? sum * sigmoid(sum) : sum;
      if (channel + v >= a.channels) y[v] = 0.0f;
    }
    store<VECTOR>(a.y + row_of(a, batch, t) * a.y_row + channel, y);
  }
}

// A block's threads: x over channel groups (contiguous), so that a warp reads whole lines; each warp takes runs
// of steps.
extern "C" __global__ void __launch_bounds__(THREADS) conv_backward(const Args a) {
  const int groups = a.width / VECTOR;
  const int group = blockIdx.x * kBackwardGroups + (threadIdx.x & 31), channel = min(group, groups - 1) * VECTOR;
  const bool inside = group < groups;
  constexpr int kRows = THREADS / 32;
  Filter f;
  f.read(a, channel);
  float dw[VECTOR][TAPS + 1];
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int k = 0; k <= TAPS; k++) dw[v][k] = 0.0f;
  const int runs = (a.length + RUN - 1) / RUN;
  for (int index = blockIdx.y * kRows + (threadIdx.x >> 5); index < a.batch * runs; index += gridDim.y * kRows) {
    const int batch = index / runs, first = index % runs * RUN, end = min(first + RUN, a.length);
    float window[TAPS][VECTOR], dpre[TAPS][VECTOR];  // inputs and gradients before the activation, oldest first
#pragma unroll
    for (int k = 0; k < TAPS; k++) {
      read_step(window[k], a.x, a.x_row, a, batch, first - TAPS + k, channel);
#pragma unroll
      for (int v = 0; v < VECTOR; v++) dpre[k][v] = 0.0f;
    }
    // Step t gives dx of step t - TAPS + 1, when all gradients that it takes part in are there.
#pragma unroll 4
    for (int t = first; t < end + TAPS - 1; t++) {
      // Steps of the next run are its own as far as the gradients of the weights go.
      const float own = t < end ? 1.0f : 0.0f;
#pragma unroll
      for (int k = 0; k + 1 < TAPS; k++)
#pragma unroll
        for (int v = 0; v < VECTOR; v++) window[k][v] = window[k + 1][v], dpre[k][v] = dpre[k + 1][v];
      float dy[VECTOR], dx[VECTOR];
      read_step(window[TAPS - 1], a.x, a.x_row, a, batch, t, channel);
      read_step(dy, a.dy, a.dy_row, a, batch, t, channel);
#pragma unroll
      for (int v = 0; v < VECTOR; v++) {
        float sum = f.bias[v];
#pragma unroll
        for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * window[k][v];
        const float gate = sigmoid(sum);
        const float d = SILU ? dy[v] * gate * (1.0f + sum * (1.0f - gate)) : dy[v];
        dpre[TAPS - 1][v] = d;
#pragma unroll
        for (int k = 0; k < TAPS; k++) dw[v][k] += own * d * window[k][v];
        dw[v][TAPS] += own * d;
        dx[v] = 0.0f;
        // x of step t - TAPS + 1 + j meets tap TAPS - 1 - j of the gradient j steps later.
#pragma unroll
        for (int j = 0; j < TAPS; j++) dx[v] += f.w[v][TAPS - 1 - j] * dpre[j][v];
        if (channel + v >= a.channels) dx[v] = 0.0f;
      }
      const int at = t - TAPS + 1;
      if (at >= first && inside) {
        scalar* to = a.dx + row_of(a, batch, at) * a.dx_row + channel;
        if (ADD_DX) {
          float before[VECTOR];
          load<VECTOR>(before, to);
#pragma unroll
          for (int v = 0; v < VECTOR; v++) dx[v] += before[v];
        }
        store<VECTOR>(to, dx);
      }
    }
  }
  // Over the rows of the block.
  __shared__ float sums[kRows][32][VECTOR * (TAPS + 1) + 1];
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int k = 0; k <= TAPS; k++) sums[threadIdx.x >> 5][threadIdx.x & 31][v * (TAPS + 1) + k] = dw[v][k];
  __syncthreads();
  for (int i = threadIdx.x; i < 32 * VECTOR * (TAPS + 1); i += THREADS) {
    const int lane = i / (VECTOR * (TAPS + 1)), at = i % (VECTOR * (TAPS + 1));
    const int c = (blockIdx.x * kBackwardGroups + lane) * VECTOR + at / (TAPS + 1);
    if (c >= a.channels) continue;
    float sum = 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; r++) sum += sums[r][lane][at];
    const int k = at % (TAPS + 1);
    a.partial[(i64)blockIdx.y * a.channels * (TAPS + 1) + (k < TAPS ? c * TAPS + k : TAPS * a.channels + c)] = sum;
  }
}
