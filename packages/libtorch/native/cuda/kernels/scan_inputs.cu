// For inference: what the scans of an SSM branch read, in one kernel for all directions. Of x it makes u by the causal
// convolution with silu, of u the columns of x_proj (those of dt, then B and C), and of the first of these delta by
// dt_proj. Memory sees x once and each result once; each is rounded to 16 bits before the next is made of it, as by
// kernels of their own.
//
// A warp owns 8 strips of neighbouring tokens, and 32 channels at a time. Lane (group, quarter) = (lane / 4, lane % 4)
// convolves 8 of the channels along strip `group`, with the inputs in registers. Its results lie there as the tensor
// cores want their left operand (PTX ISA, "Matrix Fragments for mma.m16n8k16"): sums over channels and rows of a
// product may be taken in any order, as long as both operands, or the rows' readers, take the same.
//   row of product `tile`   lower half: token 2 tile of strip `group`, upper half: token 2 tile + 1
//   columns 2 quarter + (0, 1) and those + 8, of two products: channels 8 quarter + (0 ... 7)
// The warps of a block have the same tokens and other channels; their sums meet in shared memory.
//
// Defined by the caller: DIRECTIONS (1 or 2; the second one's time runs backwards), TAPS, COLUMNS (of x_proj's result)
// and RANK (of dt_proj's input), both multiples of 8, TILES (16 tokens each, of a block), WARPS, BLOCKS (of a
// multiprocessor), and SCALAR, of 16 bits.
#include "pairs.cuh"
#include "scan_inputs_interface.h"

using namespace mamba_prune::cuda::inputs_kernel;
using Args = InputsArgs<scalar>;

constexpr int kTokens = 2 * TILES;          // of a strip
constexpr int kReach = TAPS - 1;            // steps that the convolution looks back
constexpr int kSteps = kTokens + kReach;    // whose inputs a lane reads
constexpr int kColumnBlocks = COLUMNS / 8;  // a product has 8 columns
constexpr int kRankBlocks = RANK / 8;       // of them, what dt_proj reads: 16 columns a product
constexpr int kRankSteps = (kRankBlocks + 1) / 2;
constexpr int kPitch = COLUMNS + (COLUMNS % 16 == 0 ? 8 : 0);  // rows of sums that begin in other banks

// d [16, 8] += a [16, 16] b [16, 8].
__device__ __forceinline__ void multiply(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define MMA_TYPES "f32.bf16.bf16.f32"
#else
#define MMA_TYPES "f32.f16.f16.f32"
#endif
  asm("mma.sync.aligned.m16n8k16.row.col." MMA_TYPES " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// 8 neighbouring numbers, which no kernel writes meanwhile; zeros where there are none.
__device__ __forceinline__ uint4 read8(const scalar* from, bool there) {
  return there ? __ldg(reinterpret_cast<const uint4*>(from)) : uint4{0, 0, 0, 0};
}
__device__ __forceinline__ u32 read2(const scalar* from, bool there) {
  return there ? __ldg(reinterpret_cast<const u32*>(from)) : 0;
}
__device__ __forceinline__ u32 part(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

__device__ __forceinline__ float silu(float v) {
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(0.5f * v));
  return 0.5f * v * t + 0.5f * v;
}

// A lane's strip: step `j` lies at position `start + j * step` of its sequence; results are those of steps from kReach
// on.
struct Strip {
  i64 row;  // of step 0, which may lie outside of the sequence
  int start, step, length;
  __device__ __forceinline__ bool has(int j) const { return (u32)(start + j * step) < (u32)length; }
  template <class T> __device__ __forceinline__ T* begin(T* data, int stride) const { return data + row * stride; }
  __device__ __forceinline__ i64 way(int j, int stride) const { return (i64)(step * stride) * j; }
};

__device__ __forceinline__ Strip strip_of(const Args& a, bool reverse, int group) {
  const int strips = (a.length + kTokens - 1) / kTokens;  // of a sequence
  const i64 index = (i64)(blockIdx.x / DIRECTIONS) * kStrips + group;
  const int batch = (int)(index / strips), first = (int)(index % strips) * kTokens;
  Strip s;
  s.step = reverse ? -1 : 1;
  s.start = reverse ? first + kTokens - 1 + kReach : first - kReach;
  s.length = batch < a.batch ? a.length : 0;
  s.row = (i64)batch * a.length + s.start;
  return s;
}

// The convolution of one channel.
struct Filter {
  float w[TAPS], bias;
  __device__ __forceinline__ Filter(const float* weight, const float* bias_, bool there) {
    bias = there ? __ldg(bias_) : 0.0f;
#if TAPS == 4
    const float4 v = there ? __ldg(reinterpret_cast<const float4*>(weight)) : float4{0.0f, 0.0f, 0.0f, 0.0f};
    w[0] = v.x, w[1] = v.y, w[2] = v.z, w[3] = v.w;
#else
#pragma unroll
    for (int k = 0; k < TAPS; k++) w[k] = there ? __ldg(weight + k) : 0.0f;
#endif
  }
  __device__ __forceinline__ float operator()(const float (&x)[kSteps], int at) const {
    float sum = bias;
#pragma unroll
    for (int k = 0; k < TAPS; k++) sum += w[k] * x[at + k];
    return silu(sum);
  }
};

// u of a lane's tokens: 8 channels, of which `here` are not padding. x and weights are those of the first.
__device__ __forceinline__ void convolve(u32 (&u)[kTokens][4], const scalar* x, int x_row, const float* weight,
                                         const float* bias, const Strip& strip, bool inside, int here) {
  uint4 inputs[kSteps];
#pragma unroll
  for (int j = 0; j < kSteps; j++) inputs[j] = read8(x + strip.way(j, x_row), inside && strip.has(j));
#pragma unroll
  for (int p = 0; p < 4; p++) {
    const Filter low(weight + 2 * p * TAPS, bias + 2 * p, 2 * p < here),
        high(weight + (2 * p + 1) * TAPS, bias + 2 * p + 1, 2 * p + 1 < here);
    float x[2][kSteps];
#pragma unroll
    for (int j = 0; j < kSteps; j++) {
      const u32 both = part(inputs[j], p);
      x[0][j] = low_of(both), x[1][j] = high_of(both);
    }
#pragma unroll
    for (int i = 0; i < kTokens; i++) u[i][p] = pair(low(x[0], i), high(x[1], i));
  }
}

extern "C" __global__ void __launch_bounds__(WARPS * 32, BLOCKS) scan_inputs(const Args a) {
  __shared__ __align__(16) float sums[WARPS][16 * TILES][kPitch];
  __shared__ int rows[16 * TILES];  // in memory, of the rows of sums; -1: none
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, group = lane >> 2, quarter = lane & 3;
  const bool reverse = blockIdx.x % DIRECTIONS != 0;
  const InputsDirection<scalar> d = a.directions[reverse];
  const Strip strip = strip_of(a, reverse, group);
  const int chunks = (a.width + kChunk - 1) / kChunk;
  if (warp == 0) {
#pragma unroll
    for (int i = 0; i < kTokens; i++)
      if (quarter == i % 4)
        rows[i / 2 * 16 + i % 2 * 8 + group] = strip.has(i + kReach) ? (int)(strip.row + strip.way(i + kReach, 1)) : -1;
  }

  float acc[TILES][kColumnBlocks][4];
#pragma unroll
  for (int t = 0; t < TILES; t++)
#pragma unroll
    for (int n = 0; n < kColumnBlocks; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) acc[t][n][i] = 0.0f;
  const scalar* x = strip.begin(a.x, a.x_row);
  scalar *to_u = strip.begin(d.u, a.width), *to_delta = strip.begin(d.delta, a.width);
#pragma unroll 1
  for (int chunk = warp; chunk < chunks; chunk += WARPS) {
    const int channel = chunk * kChunk + 8 * quarter;
    const bool inside = channel < a.width;
    u32 u[kTokens][4];
    convolve(u, x + channel, a.x_row, d.weight + channel * TAPS, d.bias + channel, strip, inside, a.channels - channel);
#pragma unroll
    for (int i = 0; i < kTokens; i++)
      if (inside && strip.has(i + kReach))
        *reinterpret_cast<uint4*>(to_u + channel + strip.way(i + kReach, a.width)) =
            uint4{u[i][0], u[i][1], u[i][2], u[i][3]};
    const scalar* weight = d.x_proj + (i64)group * a.width + channel;
#pragma unroll
    for (int n = 0; n < kColumnBlocks; n++) {
      const uint4 w = read8(weight + (i64)(8 * a.width) * n, inside);
#pragma unroll
      for (int t = 0; t < TILES; t++) {
        const auto &lower = u[2 * t], &upper = u[2 * t + 1];
        multiply(acc[t][n], lower[0], upper[0], lower[1], upper[1], w.x, w.y);
        multiply(acc[t][n], lower[2], upper[2], lower[3], upper[3], w.z, w.w);
      }
    }
  }
#pragma unroll
  for (int t = 0; t < TILES; t++)
#pragma unroll
    for (int n = 0; n < kColumnBlocks; n++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        *reinterpret_cast<float2*>(&sums[warp][16 * t + 8 * half + group][8 * n + 2 * quarter]) =
            float2{acc[t][n][2 * half], acc[t][n][2 * half + 1]};
  __syncthreads();

  const auto projected = [&](int row, int column) {
    float2 sum = *reinterpret_cast<const float2*>(&sums[0][row][column]);
#pragma unroll
    for (int w = 1; w < WARPS; w++) {
      const float2 more = *reinterpret_cast<const float2*>(&sums[w][row][column]);
      sum.x += more.x, sum.y += more.y;
    }
    return pair(sum.x, sum.y);
  };
  for (int i = threadIdx.x; i < 16 * TILES * (COLUMNS / 2); i += WARPS * 32) {
    const int row = i / (COLUMNS / 2), column = i % (COLUMNS / 2) * 2;
    if (rows[row] >= 0)
      *reinterpret_cast<u32*>(d.projected + (i64)rows[row] * COLUMNS + column) = projected(row, column);
  }
  // Every warp adds the columns of dt up for itself: they lie as the left operand wants them.
  u32 ranks[TILES][kRankSteps][4];
#pragma unroll
  for (int t = 0; t < TILES; t++)
#pragma unroll
    for (int s = 0; s < kRankSteps; s++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int block = 2 * s + i / 2;
        ranks[t][s][i] = block < kRankBlocks ? projected(16 * t + i % 2 * 8 + group, 8 * block + 2 * quarter) : 0;
      }
#pragma unroll 1
  for (int chunk = warp; chunk < chunks; chunk += WARPS) {
    // Column 2 quarter + b of product n is channel 8 quarter + 2 n + b of the chunk, so that a lane's are neighbours.
    float delta[TILES][4][4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
#pragma unroll
      for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int i = 0; i < 4; i++) delta[t][n][i] = 0.0f;
      const int channel = chunk * kChunk + group / 2 * 8 + 2 * n + group % 2;
      const scalar* weight = d.dt_proj + (i64)channel * RANK + 2 * quarter;
#pragma unroll
      for (int s = 0; s < kRankSteps; s++) {
        const u32 first = read2(weight + 16 * s, channel < a.width),
                  second = read2(weight + 16 * s + 8, channel < a.width && 2 * s + 1 < kRankBlocks);
#pragma unroll
        for (int t = 0; t < TILES; t++) {
          const auto& r = ranks[t][s];
          multiply(delta[t][n], r[0], r[1], r[2], r[3], first, second);
        }
      }
    }
    const int channel = chunk * kChunk + 8 * quarter;
#pragma unroll
    for (int i = 0; i < kTokens; i++) {
      const auto value = [&](int n) { return pair(delta[i / 2][n][i % 2 * 2], delta[i / 2][n][i % 2 * 2 + 1]); };
      if (channel < a.width && strip.has(i + kReach))
        *reinterpret_cast<uint4*>(to_delta + channel + strip.way(i + kReach, a.width)) =
            uint4{value(0), value(1), value(2), value(3)};
    }
  }
}
