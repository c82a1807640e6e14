// Causal depthwise convolution over time, with silu, forward and backward:
//   y_t = act(bias + sum_k w_k x_{t - TAPS + 1 + k})
// A thread owns VECTOR channels for a run of steps.
//
// Defined by the caller: TAPS, VECTOR, REVERSE (time runs backwards), HAS_BIAS, SILU, THREADS. For the forward pass RUN
// (steps whose results are a thread's), DIRECTIONS (1, or 2: both at once, where REVERSE is 0) and WHOLE_RUNS (whether
// RUN divides the length); for the backward pass, whose runs are of any number of steps, ADD_DX (add to dx instead of
// writing it), RING (rows come into shared memory: 16-bit rows that 16 bytes may be copied of, VECTOR 2, up to 5 taps),
// PROJECTED (columns of the projections' result whose gradient is taken through them into dy, with RING; 0: dy has it
// already) and BLOCKS (of a multiprocessor). Only the pass that has its own is compiled.
#include "conv_interface.h"
#include "tile_ops.cuh"
#if PROJECTED
#include "pairs.cuh"
#endif

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
#if PROJECTED
using BackwardArgs = ConvThroughArgs<scalar>;
#else
using BackwardArgs = Args;
#endif
constexpr int kAhead = 4;  // steps that a thread takes one after the other once their inputs are there

template <class T> __device__ __forceinline__ void take(float (&to)[VECTOR], const T& from) {
#pragma unroll
  for (int v = 0; v < VECTOR; v++) to[v] = from.get(v);
}

// Inputs of a run, kAhead steps at a time, and the TAPS - 1 steps before it. Before the first step of all and behind
// the last all is zero.
#if RING
// Times kAhead steps that are there or on their way. Two of them are there together where products give eight steps at
// once.
constexpr int kDepth = PROJECTED ? 6 : 4;
constexpr int kWarpChannels = kBackwardGroups * VECTOR, kPieces = kWarpChannels / 8;
static_assert(32 / kPieces == kAhead && TAPS - 1 <= kAhead && sizeof(scalar) == 2, "a lane copies a piece of 16 bytes");
// Of a warp. A load into registers shares one of six counters with stores and special functions, and who waits for
// those then waits for memory, as in scan_tiles.cu. With products rows, and what follows the last, are as long as keeps
// lanes in banks of their own.
constexpr int kPadding = PROJECTED ? 8 : 0, kDyRow = kWarpChannels + kPadding;
struct alignas(16) Rows {
  scalar x[kAhead][kWarpChannels], dy[kAhead][kDyRow];
#if PROJECTED
  scalar projected[kAhead][PROJECTED + kPadding], unused[32];
#endif
};
#if PROJECTED
constexpr int kTiles = kWarpChannels / 16, kDeep = PROJECTED / 16, kProjectedPieces = PROJECTED / 8;
static_assert(PROJECTED % 16 == 0 && kAhead * kProjectedPieces <= 32, "whole products, and a piece a lane");
static_assert(sizeof(Rows) / 4 % 32 == 16 && PROJECTED / 2 % 8 == 0, "lanes read in banks of their own");

// The block's channels of the projection as left operands: of tile i the rows g and g + 8 are its channels 2g and
// 2g + 1, so that a lane's results are neighbours.
struct Projection {
  uint4 of[kTiles][kDeep][32];
  __device__ __forceinline__ void read(const BackwardArgs& a) {
    for (int i = threadIdx.x; i < kTiles * kDeep * 32; i += THREADS) {
      const int lane = i % 32, g = lane / 4, t = lane % 4;
      const int channel = blockIdx.x * kWarpChannels + i / (32 * kDeep) * 16 + 2 * g, column = i / 32 % kDeep * 16;
      u32 parts[4];
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const int c = channel + r % 2, k = column + 2 * t + r / 2 * 8;
        const scalar* from = a.projection + (i64)k * a.width + c;
        parts[r] = c < a.width ? from[0].bits | (u32)from[a.width].bits << 16 : 0;
      }
      (&of[0][0][0])[i] = uint4{parts[0], parts[1], parts[2], parts[3]};
    }
  }
};
// To the gradient of y of the eight steps in two neighbouring places of the ring what reaches it through the
// projections.
__device__ __forceinline__ void add_projected(Rows* places, const Projection& by) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  u32 steps[kDeep][2];
  const scalar* from = places[g / kAhead].projected[g % kAhead] + 2 * t;
#pragma unroll
  for (int k = 0; k < kDeep; k++)
#pragma unroll
    for (int r = 0; r < 2; r++) steps[k][r] = *reinterpret_cast<const u32*>(from + 16 * k + 8 * r);
  u32* const to = reinterpret_cast<u32*>(places[2 * t / kAhead].dy[2 * t % kAhead] + 2 * g);
  // No load overtakes a store that might be to the same place: all of them come first.
  float sums[kTiles][4];
#pragma unroll
  for (int i = 0; i < kTiles; i++)
#pragma unroll
    for (int step = 0; step < 2; step++) {
      const u32 there = to[step * kDyRow / 2 + 8 * i];
      sums[i][step] = low_of(there), sums[i][2 + step] = high_of(there);
    }
#pragma unroll
  for (int k = 0; k < kDeep; k++)
#pragma unroll
    for (int i = 0; i < kTiles; i++) {
      // Rows are channels, columns steps, the depth columns of the projections.
      const uint4 part = by.of[i][k][lane];
      add_product(sums[i], {part.x, part.y, part.z, part.w}, steps[k][0], steps[k][1]);
    }
#pragma unroll
  for (int i = 0; i < kTiles; i++)
#pragma unroll
    for (int step = 0; step < 2; step++) to[step * kDyRow / 2 + 8 * i] = pair(sums[i][step], sums[i][2 + step]);
}
#endif
// What a block has in shared memory: beside the rings of its warps what they multiply by, and behind the last step
// sums.
struct Memory {
  static constexpr int kWarps = THREADS / 32;
  union {
    Rows rings[kWarps][kDepth];
    float sums[kWarps][32][VECTOR * (TAPS + 1) + 1];
  };
#if PROJECTED
  Projection projection;
#endif
};
class Inputs {
 public:
  __device__ __forceinline__ Inputs(const BackwardArgs& a, Memory& memory_, int warp, int batch, int, int first,
                                    int end)
      : memory(memory_),
        ring(memory_.rings[warp]),
        now(ring + kDepth - 2),
        row(threadIdx.x % 32 / kPieces),
        step(first - kAhead + row),
        first_dy(first) {
    const int piece = blockIdx.x * kWarpChannels + threadIdx.x % kPieces * 8;
    last = min(end + TAPS - 1, a.length), limit = piece < a.width ? last : 0;
    x = a.x + row_of(a, batch, step) * a.x_row + piece, dy = a.dy + row_of(a, batch, step) * a.dy_row + piece;
    x_step = (REVERSE ? -kAhead : kAhead) * (int)a.x_row, dy_step = (REVERSE ? -kAhead : kAhead) * (int)a.dy_row;
#if PROJECTED
    projected_row = threadIdx.x % 32 / kProjectedPieces;
    projected = a.dprojected + row_of(a, batch, first - kAhead + projected_row) * PROJECTED +
                threadIdx.x % 32 % kProjectedPieces * 8;
#endif
    wait<0>();  // what the run before has asked for
    // The steps before the first come to the last place, so that the others lie in pairs.
    copy(ring[kDepth - 1]);
    for (int i = 0; i < kDepth - 2; i++) copy(ring[i]);
  }
  __device__ __forceinline__ void before(float (&window)[TAPS][VECTOR]) {
    go(true);
#pragma unroll
    for (int k = 1; k < TAPS; k++) take(window[k], x_of(kAhead - TAPS + k));
  }
  __device__ __forceinline__ void go(bool) {
    Rows& done = *now;
    now = now == ring + kDepth - 1 ? ring : now + 1;
#if PROJECTED
    // At every second place the next one is there, too.
    wait<kDepth - 3>();
    if (pair_begins) {
      add_projected(now, memory.projection);
      __syncwarp();
    }
    pair_begins = !pair_begins;
#else
    wait<kDepth - 2>();
#endif
    copy(done);
  }
  __device__ __forceinline__ Raw<VECTOR> x_of(int i) const { return own(now->x[i]); }
  __device__ __forceinline__ Raw<VECTOR> dy_of(int i) const { return own(now->dy[i]); }

 private:
  Memory& memory;
  Rows* const ring;
  Rows* now;
  const scalar *x, *dy;
  int row, step, first_dy, limit, last, x_step, dy_step;
#if PROJECTED
  const scalar* projected;
  int projected_row;
  bool pair_begins = false;  // steps before the first have no gradient
#endif

  static __device__ __forceinline__ Raw<VECTOR> own(const scalar* from) {
    return *reinterpret_cast<const Raw<VECTOR>*>(from + threadIdx.x % 32 * VECTOR);
  }
  __device__ __forceinline__ void copy(Rows& rows) {
    const int at = threadIdx.x % kPieces * 8;
    copy_piece(&rows.x[row][at], x, step >= 0 && step < limit);
    copy_piece(&rows.dy[row][at], dy, step >= first_dy && step < limit);
#if PROJECTED
    const int of_step = step - row + projected_row;
    if (projected_row < kAhead)
      copy_piece(&rows.projected[projected_row][threadIdx.x % 32 % kProjectedPieces * 8], projected,
                 of_step >= first_dy && of_step < last);
    projected += (REVERSE ? -kAhead : kAhead) * PROJECTED;
#endif
    asm volatile("cp.async.commit_group;" ::: "memory");
    x += x_step, dy += dy_step, step += kAhead;
  }
  // Until no more than so many groups are on their way, and all lanes see what has come and are through with the rest.
  template <int Groups> __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
    __syncwarp();
  }
};
#else
// VECTOR channels of a sequence, step by step, from `first` on.
class Walk {
 public:
  __device__ __forceinline__ Walk(const scalar* from, i64 stride, const Args& a, int batch, int channel, int first)
      : data(from + row_of(a, batch, first) * stride + channel),
        row((int)(REVERSE ? -stride : stride) * (int)sizeof(scalar)),
        left(a.length - first) {}
  __device__ __forceinline__ void go() { data = at(kAhead), left -= kAhead; }
  __device__ __forceinline__ Raw<VECTOR> read(int i) const {
    Raw<VECTOR> r{};
    if (i < left) r = *reinterpret_cast<const Raw<VECTOR>*>(at(i));
    return r;
  }

 private:
  const scalar* data;  // at the step at hand
  int row;             // bytes to the next one
  int left;            // steps from there to the end
  __device__ __forceinline__ const scalar* at(int i) const { return (const scalar*)((const char*)data + (i64)i * row); }
};
struct Memory {
  float sums[THREADS / 32][32][VECTOR * (TAPS + 1) + 1];
};
class Inputs {
 public:
  __device__ __forceinline__ Inputs(const Args& a, Memory&, int, int batch, int channel, int first, int)
      : x(a.x, a.x_row, a, batch, channel, first), dy(a.dy, a.dy_row, a, batch, channel, first) {
#pragma unroll
    for (int k = 1; k < TAPS; k++) {
      old[k] = Raw<VECTOR>{};
      if (first - TAPS + k >= 0) old[k] = x.read(k - TAPS);
    }
    read();
  }
  __device__ __forceinline__ void before(float (&window)[TAPS][VECTOR]) const {
#pragma unroll
    for (int k = 1; k < TAPS; k++) take(window[k], old[k]);
  }
  __device__ __forceinline__ void go(bool more) {
#pragma unroll
    for (int i = 0; i < kAhead; i++) now_x[i] = next_x[i], now_dy[i] = next_dy[i];
    x.go(), dy.go();
    if (more) read();
  }
  __device__ __forceinline__ Raw<VECTOR> x_of(int i) const { return now_x[i]; }
  __device__ __forceinline__ Raw<VECTOR> dy_of(int i) const { return now_dy[i]; }

 private:
  Walk x, dy;
  Raw<VECTOR> old[TAPS], next_x[kAhead], next_dy[kAhead], now_x[kAhead], now_dy[kAhead];

  __device__ __forceinline__ void read() {
#pragma unroll
    for (int i = 0; i < kAhead; i++) next_x[i] = x.read(i), next_dy[i] = dy.read(i);
  }
};
#endif

// A block's threads: x over channel groups (contiguous), so that a warp reads whole lines; each warp takes runs
// of steps.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_backward(const BackwardArgs a) {
  const int groups = a.width / VECTOR;
  const int group = blockIdx.x * kBackwardGroups + (threadIdx.x & 31), channel = min(group, groups - 1) * VECTOR;
  const bool inside = group < groups;
  constexpr int kRows = THREADS / 32;
  const int warp = __shfl_sync(kAllLanes, threadIdx.x >> 5, 0);  // the same in all lanes, as the compiler now knows
  __shared__ Memory memory;
#if PROJECTED
  memory.projection.read(a);
  __syncthreads();
#endif
  Filter f;
  f.read(a.weight, a.bias, channel, a.channels);
  float dw[VECTOR][TAPS + 1];
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int k = 0; k <= TAPS; k++) dw[v][k] = 0.0f;
  const int runs = (a.length + a.run - 1) / a.run;
  for (int index = blockIdx.y * kRows + warp; index < a.batch * runs; index += gridDim.y * kRows) {
    const int batch = index / runs, first = index % runs * a.run, end = min(first + a.run, a.length);
    Inputs in(a, memory, warp, batch, channel, first, end);
    // Where the gradient of the step before the first by TAPS - 1 would be.
    scalar* dx = a.dx + row_of(a, batch, first - TAPS + 1) * a.dx_row + channel;
    const int dx_row = REVERSE ? -(int)a.dx_row : (int)a.dx_row;
    const int count = end - first;
    const u32 written = inside ? count : 0;
    float window[TAPS][VECTOR], dpre[TAPS][VECTOR];  // inputs and gradients before the activation, oldest first
    in.before(window);
#pragma unroll
    for (int k = 0; k < TAPS; k++)
#pragma unroll
      for (int v = 0; v < VECTOR; v++) dpre[k][v] = 0.0f;
    // Step t gives dx of step t - TAPS + 1, when all gradients that it takes part in are there.
    for (int t0 = 0; t0 < count + TAPS - 1; t0 += kAhead) {
      in.go(t0 + kAhead < count + TAPS - 1);
#pragma unroll
      for (int i = 0; i < kAhead; i++) {
        const int t = t0 + i;  // from the first on
#pragma unroll
        for (int k = 0; k + 1 < TAPS; k++)
#pragma unroll
          for (int v = 0; v < VECTOR; v++) window[k][v] = window[k + 1][v], dpre[k][v] = dpre[k + 1][v];
        take(window[TAPS - 1], in.x_of(i));
        float of_y[VECTOR], of_x[VECTOR];
        take(of_y, in.dy_of(i));
#pragma unroll
        for (int v = 0; v < VECTOR; v++) {
          float sum = f.bias[v];
#pragma unroll
          for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * window[k][v];
          // The derivative of silu is gate (1 + sum (1 - gate)).
          const float gate = sigmoid(sum), gated = of_y[v] * gate;
          const float d = SILU ? gated + gated * (sum - sum * gate) : of_y[v];
          dpre[TAPS - 1][v] = d;
          // Steps of the next run are its own as far as the gradients of the weights go.
          if (t < count) {
#pragma unroll
            for (int k = 0; k < TAPS; k++) dw[v][k] += d * window[k][v];
            dw[v][TAPS] += d;
          }
          of_x[v] = 0.0f;
          // x of step t - TAPS + 1 + j meets tap TAPS - 1 - j of the gradient j steps later.
#pragma unroll
          for (int j = 0; j < TAPS; j++) of_x[v] += f.w[v][TAPS - 1 - j] * dpre[j][v];
        }
        if ((u32)(t - TAPS + 1) < written) {
          if (ADD_DX) {
            const Raw<VECTOR> sum = *reinterpret_cast<const Raw<VECTOR>*>(dx);
#pragma unroll
            for (int v = 0; v < VECTOR; v++) of_x[v] += sum.get(v);
          }
          store<VECTOR>(dx, of_x);
        }
        dx += dx_row;
      }
    }
  }
  // Over the rows of the block, where their inputs were.
#if RING
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
#endif
  auto& sums = memory.sums;
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int k = 0; k <= TAPS; k++) sums[warp][threadIdx.x & 31][v * (TAPS + 1) + k] = dw[v][k];
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
