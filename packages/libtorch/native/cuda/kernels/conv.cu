// Causal depthwise convolution over time, with silu, forward and backward:
//   y_t = act(bias + sum_k w_k x_{t - TAPS + 1 + k})
// A thread owns VECTOR channels for RUN steps.
//
// Defined by the caller: TAPS, VECTOR, REVERSE (time runs backwards), HAS_BIAS, SILU, THREADS, RUN (steps whose
// results are a thread's). For the forward pass DIRECTIONS (1, or 2: both at once, where REVERSE is 0) and WHOLE_RUNS
// (whether RUN divides the length); for the backward pass ADD_DX (add to dx instead of writing it). Only the pass that
// has its own is compiled.
#include "conv_interface.h"

using namespace mamba_prune::cuda::conv_kernel;
using Args = ConvArgs<scalar>;

__device__ __forceinline__ i64 row_of(const Args& a, int batch, int step) {
  return (i64)batch * a.length + (REVERSE ? a.length - 1 - step : step);
}

// Of channels that are not there all is zero, and so are their results.
struct Filter {
  float w[VECTOR][TAPS], bias[VECTOR];
  __device__ __forceinline__ void read(const float* weight, const float* bias_, int channel, int channels) {
#pragma unroll
    for (int v = 0; v < VECTOR; v++) {
      const bool inside = channel + v < channels;
#pragma unroll
      for (int k = 0; k < TAPS; k++) w[v][k] = inside ? weight[(i64)(channel + v) * TAPS + k] : 0.0f;
      bias[v] = HAS_BIAS && inside ? bias_[channel + v] : 0.0f;
    }
  }
};

#ifdef DIRECTIONS
constexpr int kReach = TAPS - 1;
constexpr int kInputs = RUN + DIRECTIONS * kReach;  // of a thread's results

// A thread's channels and steps, and their inputs; those before the first step and behind the last are zero. All are
// asked for before the first result is written, because no load overtakes a store that might be to the same place.
struct Run {
  int channel, first, batch;
  bool inside;
  Pack<VECTOR> in[kInputs];
  __device__ __forceinline__ explicit Run(const Args& a) {
    const i64 index = (i64)blockIdx.x * THREADS + threadIdx.x;
    const int groups = a.width / VECTOR, runs = (a.length + RUN - 1) / RUN;
    channel = (int)(index % groups) * VECTOR, first = (int)(index / groups % runs) * RUN;
    batch = (int)(index / groups / runs), inside = batch < a.batch;
    if (!inside) return;
    const scalar* x = a.x + row_of(a, batch, first - kReach) * a.x_row + channel;
#pragma unroll
    for (int i = 0; i < kInputs; i++) {
      const int step = first - kReach + i;
      // Of most no comparison is left.
      const bool begun = i >= kReach || step >= 0, there = (WHOLE_RUNS && i < RUN + kReach) || step < a.length;
      if (begun && there) in[i] = *reinterpret_cast<const Pack<VECTOR>*>(x + i * (REVERSE ? -a.x_row : a.x_row));
      else
#pragma unroll
        for (int v = 0; v < VECTOR; v++) in[i].v[v] = down(0.0f);
    }
  }
  // Results of the steps: that of step t has the inputs in[t] to in[t + TAPS - 1], oldest first, or, from the other end
  // of the sequence, those that end kReach further on, oldest last.
  __device__ __forceinline__ void convolve(const Args& a, const Filter& f, scalar* y, bool back) const {
    y += row_of(a, batch, first) * a.y_row + channel;
#pragma unroll
    for (int t = 0; t < RUN; t++) {
      if (!WHOLE_RUNS && first + t >= a.length) break;
      float result[VECTOR];
#pragma unroll
      for (int v = 0; v < VECTOR; v++) {
        float sum = f.bias[v];
#pragma unroll
        for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * up(in[back ? t + 2 * kReach - k : t + k].v[v]);
        result[v] = SILU ? sum * sigmoid(sum) : sum;
      }
      store<VECTOR>(y + t * (REVERSE ? -a.y_row : a.y_row), result);
    }
  }
};

#if DIRECTIONS == 1
extern "C" __global__ void __launch_bounds__(THREADS) conv_forward(const Args a) {
  const Run run(a);
  if (!run.inside) return;
  Filter f;
  f.read(a.weight, a.bias, run.channel, a.channels);
  run.convolve(a, f, a.y, false);
}
#else
// Both directions of one x, each with its filter.
extern "C" __global__ void __launch_bounds__(THREADS) conv_forward(const ConvBothArgs<scalar> a) {
  const Run run(a);
  if (!run.inside) return;
  Filter f, other;
  f.read(a.weight, a.bias, run.channel, a.channels);
  other.read(a.back_weight, a.back_bias, run.channel, a.channels);
  run.convolve(a, f, a.y, false);
  run.convolve(a, other, a.back_y, true);
}
#endif
#endif

#ifndef DIRECTIONS
// VECTOR channels of a sequence, step by step, from `first` on.
template <class T> struct Walk {
  T* data;   // at the step at hand
  int row;   // bytes to the next one
  int left;  // steps from there to the end
  __device__ __forceinline__ Walk(T* from, i64 stride, const Args& a, int batch, int channel, int first)
      : data(from + ((i64)batch * a.length + (REVERSE ? a.length - 1 - first : first)) * stride + channel),
        row((int)(REVERSE ? -stride : stride) * (int)sizeof(scalar)),
        left(a.length - first) {}
  __device__ __forceinline__ T* at(int i) const { return (T*)((const char*)data + (i64)i * row); }
  __device__ __forceinline__ void go(int steps) { data = at(steps), left -= steps; }
  // Behind the end all is zero.
  __device__ __forceinline__ Raw<VECTOR> read(int i) const {
    Raw<VECTOR> r{};
    if (i < left) r = *reinterpret_cast<const Raw<VECTOR>*>(at(i));
    return r;
  }
};
// The TAPS - 1 steps before `first`, oldest first; before the first of all there is zero.
template <class W> __device__ __forceinline__ void read_before(Raw<VECTOR> (&to)[TAPS], const W& x, int first) {
#pragma unroll
  for (int k = 1; k < TAPS; k++) {
    to[k] = Raw<VECTOR>{};
    if (first - TAPS + k >= 0) to[k] = *reinterpret_cast<const Raw<VECTOR>*>(x.at(k - TAPS));
  }
}
template <class T> __device__ __forceinline__ void take(float (&to)[VECTOR], const T& from) {
#pragma unroll
  for (int v = 0; v < VECTOR; v++) to[v] = from.get(v);
}

constexpr int kAhead = 4;  // steps whose inputs are on their way while those before them are worked on
static_assert(RUN % kAhead == 0, "a run is whole groups of steps");

// A block's threads: x over channel groups (contiguous), so that a warp reads whole lines; each warp takes runs
// of steps.
// What hides the wait for memory is warps, and what limits them is registers.
constexpr int kBackwardBlocks = VECTOR == 4 ? 4 : TAPS <= 4 ? 6 : 1;
extern "C" __global__ void __launch_bounds__(THREADS, kBackwardBlocks) conv_backward(const Args a) {
  const int groups = a.width / VECTOR;
  const int group = blockIdx.x * kBackwardGroups + (threadIdx.x & 31), channel = min(group, groups - 1) * VECTOR;
  const bool inside = group < groups;
  constexpr int kRows = THREADS / 32;
  Filter f;
  f.read(a.weight, a.bias, channel, a.channels);
  float dw[VECTOR][TAPS + 1];
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int k = 0; k <= TAPS; k++) dw[v][k] = 0.0f;
  const int runs = (a.length + RUN - 1) / RUN;
  for (int index = blockIdx.y * kRows + (threadIdx.x >> 5); index < a.batch * runs; index += gridDim.y * kRows) {
    const int batch = index / runs, first = index % runs * RUN, end = min(first + RUN, a.length);
    Walk<const scalar> x(a.x, a.x_row, a, batch, channel, first), dy(a.dy, a.dy_row, a, batch, channel, first);
    Walk<scalar> dx(a.dx, a.dx_row, a, batch, channel, first);
    Raw<VECTOR> before[TAPS], next_x[kAhead], next_dy[kAhead];
    read_before(before, x, first);
#pragma unroll
    for (int i = 0; i < kAhead; i++) next_x[i] = x.read(i), next_dy[i] = dy.read(i);
    float window[TAPS][VECTOR], dpre[TAPS][VECTOR];  // inputs and gradients before the activation, oldest first
#pragma unroll
    for (int k = 0; k < TAPS; k++) {
      if (k > 0) take(window[k], before[k]);
#pragma unroll
      for (int v = 0; v < VECTOR; v++) dpre[k][v] = 0.0f;
    }
    // Step t gives dx of step t - TAPS + 1, when all gradients that it takes part in are there.
    for (int t0 = first; t0 < end + TAPS - 1; t0 += kAhead) {
      Raw<VECTOR> now_x[kAhead], now_dy[kAhead];
#pragma unroll
      for (int i = 0; i < kAhead; i++) now_x[i] = next_x[i], now_dy[i] = next_dy[i];
      x.go(kAhead), dy.go(kAhead);
      if (t0 + kAhead < end + TAPS - 1) {
#pragma unroll
        for (int i = 0; i < kAhead; i++) next_x[i] = x.read(i), next_dy[i] = dy.read(i);
      }
#pragma unroll
      for (int i = 0; i < kAhead; i++) {
        const int t = t0 + i;
        // Steps of the next run are its own as far as the gradients of the weights go.
        const float own = t < end ? 1.0f : 0.0f;
#pragma unroll
        for (int k = 0; k + 1 < TAPS; k++)
#pragma unroll
          for (int v = 0; v < VECTOR; v++) window[k][v] = window[k + 1][v], dpre[k][v] = dpre[k + 1][v];
        take(window[TAPS - 1], now_x[i]);
        float of_y[VECTOR], of_x[VECTOR];
        take(of_y, now_dy[i]);
#pragma unroll
        for (int v = 0; v < VECTOR; v++) {
          float sum = f.bias[v];
#pragma unroll
          for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * window[k][v];
          const float gate = sigmoid(sum);
          const float d = SILU ? of_y[v] * gate * (1.0f + sum * (1.0f - gate)) : of_y[v], mine = own * d;
          dpre[TAPS - 1][v] = d;
#pragma unroll
          for (int k = 0; k < TAPS; k++) dw[v][k] += mine * window[k][v];
          dw[v][TAPS] += mine;
          of_x[v] = 0.0f;
          // x of step t - TAPS + 1 + j meets tap TAPS - 1 - j of the gradient j steps later.
#pragma unroll
          for (int j = 0; j < TAPS; j++) of_x[v] += f.w[v][TAPS - 1 - j] * dpre[j][v];
        }
        const int step = t - TAPS + 1;
        if (step >= first && step < end && inside) {
          scalar* to = dx.at(i - TAPS + 1);
          if (ADD_DX) {
            const Raw<VECTOR> sum = *reinterpret_cast<const Raw<VECTOR>*>(to);
#pragma unroll
            for (int v = 0; v < VECTOR; v++) of_x[v] += sum.get(v);
          }
          store<VECTOR>(to, of_x);
        }
      }
      dx.go(kAhead);
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
#endif
