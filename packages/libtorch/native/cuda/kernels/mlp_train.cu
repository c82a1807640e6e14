// For training: the MLP branch of a block, x + scale fc2(gelu(fc1(norm(x)))), and what of its backward pass mixes no tokens.
// Forward keeps nothing but x; backward computes the normalised rows and the hidden neurons once more. So the pass back
// writes once what the products for the gradients of the weights read, and nothing else of the neurons' width moves.
//
// A warpgroup owns 64 tokens, as in fused_mlp.cu. There are two units of weights for every 64 neurons: 64 rows of fc1, and
// the same 64 rows of fc2^T. Where a product runs over the neurons it reads its unit transposed.
//
// Defined by the caller: SCALED (whether there is a scale), and what warpgroup.cuh says.
#include "mlp_train_interface.h"
#include "warpgroup.cuh"

using namespace mamba_prune::cuda::mlp_kernel;
using namespace mamba_prune::cuda::mlp_train_kernel;
using Args = TrainArgs<scalar>;

// Where a product's number lies among the columns.
__device__ __forceinline__ int column_of(int number) {
  return (number & ~31) + (number & 7) / 2 * 8 + (number >> 3 & 3) * 2 + (number & 1);
}

// A thread for each number of a unit, and for its biases behind them.
extern "C" __global__ void __launch_bounds__(kPackThreads) mlp_pack(const PackArgs<scalar> a) {
  const int i = blockIdx.x * kPackThreads + threadIdx.x, unit = blockIdx.y, first = unit / 2 * kTile;
  unsigned char* to = a.units + (i64)unit * kStride;
  if (i < kTile * MODEL) {
    // In shared memory 64 columns are a panel of 64 rows times 128 bytes; pieces of 16 bytes of a row are exchanged by
    // its place among 8.
    const int row = i / 64 % kTile, at = i % 64, panel = i / (64 * kTile);
    const int neuron = first + column_of(row), column = column_of(panel * 64 + ((at / 8) ^ (row % 8)) * 8 + at % 8);
    scalar value{};
    if (neuron < a.width)
      value = unit % 2 == 0 ? a.fc1[(i64)neuron * MODEL + column] : a.fc2[(i64)column * a.width + neuron];
    reinterpret_cast<scalar*>(to)[i] = value;
  } else if (i < kTile * MODEL + kTile) {
    const int neuron = first + column_of(i - kTile * MODEL);
    reinterpret_cast<float*>(to + kUnit)[i - kTile * MODEL] =
        unit % 2 == 0 && neuron < a.neurons ? a.bias1[neuron] : 0.0f;
  }
}

// Normalised rows as the left operand of a product.
__device__ __forceinline__ void normalized(u32 (&left)[kSteps][4], const float (&v)[4 * kBlocks], const Args& a) {
  float mean[2] = {0, 0}, squares[2] = {0, 0}, scale[2];
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) mean[(i >> 1) & 1] += v[i];
#pragma unroll
  for (int r = 0; r < 2; r++) mean[r] = row_sum(mean[r]) * (1.0f / MODEL);
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) {
    const float centred = v[i] - mean[(i >> 1) & 1];
    squares[(i >> 1) & 1] += centred * centred;
  }
#pragma unroll
  for (int r = 0; r < 2; r++) scale[r] = rsqrtf(row_sum(squares[r]) * (1.0f / MODEL) + a.eps), mean[r] *= -scale[r];
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++) {
    const Columns weight(a.norm_weight, i), bias(a.norm_bias, i);
#pragma unroll
    for (int p = 0; p < 4; p++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float* from = v + 16 * i + 4 * p + 2 * r;
        left[2 * i + p / 2][p % 2 * 2 + r] = pair((from[0] * scale[r] + mean[r]) * weight.v[2 * p] + bias.v[2 * p],
                                                  (from[1] * scale[r] + mean[r]) * weight.v[2 * p + 1] + bias.v[2 * p + 1]);
      }
  }
}

// acc [64, MODEL] += left [64, 64] unit, over the 64 rows of a unit.
__device__ __forceinline__ void multiply_over_rows(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int n = 0; n < MODEL / 64; n++) multiply<1>(acc + 32 * n, left[k], descriptor(unit + n * 64 * 128 + k * 16 * 128), 1);
}

// The tile of a warpgroup's loop, and the warpgroup that copies.
template <class Tile> __device__ __forceinline__ void run(const Args& a, Ring& ring, const Tile& tile_work) {
  const int tiles = (a.rows + kTile * GROUPS - 1) / (kTile * GROUPS);
  if (threadIdx.x >= GROUPS * kWarpgroup) {
#if GROUPS == 2
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
#endif
    if (threadIdx.x == GROUPS * kWarpgroup) copy_units(a.units, ring, tiles, 2 * a.neuron_units);
    return;
  }
#if GROUPS == 2
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
#endif
  const int row = threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) tile_work(tile, Rows{tile * kTile * GROUPS + row, a.rows});
}

// Of a lane's two rows.
struct Scales {
  float of[2];
  __device__ __forceinline__ Scales(const Args& a, const Rows& rows) {
#pragma unroll
    for (int r = 0; r < 2; r++) of[r] = SCALED ? a.scale[min(rows.first + 8 * r, a.rows - 1) / a.length] : 1.0f;
  }
};

__device__ __forceinline__ void forward_tile(const Args& a, Ring& ring, const Rows& rows) {
  float acc[4 * kBlocks];
  read_rows(acc, a.x, rows);
  u32 left[kSteps][4];
  normalized(left, acc, a);
  const Scales scales(a, rows);
  if (SCALED) {
#pragma unroll
    for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  }
  add_columns(acc, a.bias2);
  keep(acc);

  float sum[32];
  u32 hidden[4][4];
  u32 before = 0;
  for (int c = 0; c < a.neuron_units; c++) {
    const u32 unit = ring.acquire(), stage = ring.stage;
    keep(sum), keep(left);
    products_begin();
    multiply_tall(sum, left, unit);
    products_end();
    ring.step();
    products_wait<0>();
    keep(sum), keep(left);
    if (c > 0) ring.release(before);
    add_bias(sum, unit);
#pragma unroll
    for (int i = 0; i < 32; i++) sum[i] = gelu(sum[i]);
    to_left(hidden, sum);
    ring.release(stage);
    const u32 second = ring.acquire();
    before = ring.stage;
    products_begin();
    multiply_over_rows(acc, hidden, second);
    products_end();
    ring.step();
  }
  products_wait<0>();
  keep(acc);
  ring.release(before);
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      if (SCALED) {
        float x[8];
        rows.take(x, a.x, r, i);
#pragma unroll
        for (int k = 0; k < 8; k++) {
          float& v = acc[16 * i + k / 2 * 4 + 2 * r + k % 2];
          v = x[k] + scales.of[r] * v;
        }
      }
      rows.write(a.out, r, i, MODEL, acc + 16 * i);
    }
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) mlp_forward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Ring ring = start_ring(memory, barriers);
  run(a, ring, [&](int, const Rows& rows) { forward_tile(a, ring, rows); });
}

// Behind the ring, for each warpgroup: its rows of the two left operands, 64 columns a panel, as a unit lies.
__device__ __forceinline__ u32 place_of(u32 tile, int block) {
  const int row = (threadIdx.x & 127) / 32 * 16 + (threadIdx.x & 31) / 4;
  return tile + block / 8 * 64 * 128 + row * 128 + ((block ^ row) & 7) * 16 + (threadIdx.x & 3) * 4;
}
__device__ __forceinline__ void put(u32 at, u32 value) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(at), "r"(value) : "memory");
}
// All threads of a warpgroup.
__device__ __forceinline__ void group_barrier() {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + threadIdx.x / kWarpgroup) : "memory");
}

// Of 2 Count columns a lane keeps Count, summed with those of the lane 2 Count further or back.
template <int Count> __device__ __forceinline__ void halve(float (&s)[16], int lane) {
  const bool upper = lane & (2 * Count);
#pragma unroll
  for (int i = 0; i < Count; i++) {
    const float mine = upper ? s[Count + i] : s[i], other = upper ? s[i] : s[Count + i];
    s[i] = mine + __shfl_xor_sync(kAllLanes, other, 2 * Count);
  }
}
// Of 16 columns that a lane holds of a product's two rows, the sums over the warp's rows: lane 4 g + t keeps those of
// numbers 8 g + 2 t and the next.
__device__ __forceinline__ float2 sum_over_rows(const float (&v)[32]) {
  const int lane = threadIdx.x & 31;
  float s[16];
#pragma unroll
  for (int i = 0; i < 16; i++) s[i] = v[i / 2 * 4 + i % 2] + v[i / 2 * 4 + i % 2 + 2];
  halve<8>(s, lane), halve<4>(s, lane), halve<2>(s, lane);
  return make_float2(s[0], s[1]);
}

// Two rows of 32 columns, in pairs as the left operand of a product has them.
__device__ __forceinline__ void write_left(scalar* to, const Rows& rows, const u32 (&left)[4][4], int i, int first, int width) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const i64 at = rows.place(r, i, width - first);
    if (at < 0) continue;
    // `place` counts from the first of the columns and knows their number alone.
    const i64 row = rows.first + 8 * r;
    *reinterpret_cast<uint4*>(to + row * width + first + 32 * i + 8 * (threadIdx.x & 3)) =
        uint4{left[2 * i][r], left[2 * i][2 + r], left[2 * i + 1][r], left[2 * i + 1][2 + r]};
  }
}

__device__ __forceinline__ void backward_tile(const Args& a, Ring& ring, const Rows& rows, u32 tiles, int tile) {
  const u32 normed_tile = tiles, dout_tile = tiles + kUnit;
  float acc[4 * kBlocks];
  {
    uint4 dout[2][MODEL / 32];
#pragma unroll
    for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) dout[r][i] = rows.read(a.dout, r, i);
    read_rows(acc, a.x, rows);
    u32 left[kSteps][4];
    normalized(left, acc, a);
    group_barrier();  // all are through with the tile before
#pragma unroll
    for (int k = 0; k < kSteps; k++)
#pragma unroll
      for (int i = 0; i < 4; i++) put(place_of(normed_tile, 2 * k + i / 2) + i % 2 * 8 * 128, left[k][i]);
#pragma unroll
    for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const u32 parts[4] = {dout[r][i].x, dout[r][i].y, dout[r][i].z, dout[r][i].w};
#pragma unroll
        for (int p = 0; p < 4; p++) put(place_of(dout_tile, 4 * i + p) + r * 8 * 128, parts[p]);
        const i64 at = rows.place(r, i, MODEL);
        if (at >= 0)
          *reinterpret_cast<uint4*>(a.normed + at) =
              uint4{left[2 * i][r], left[2 * i][2 + r], left[2 * i + 1][r], left[2 * i + 1][2 + r]};
      }
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  group_barrier();
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  keep(acc);

  const Scales scales(a, rows);
  float before[32], dhidden[32];
  u32 left[4][4];
  u32 last = 0;
  for (int c = 0; c < a.neuron_units; c++) {
    const u32 first = ring.acquire(), first_stage = ring.stage;
    ring.step();
    const u32 second = ring.acquire(), second_stage = ring.stage;
    ring.step();
    keep(before), keep(dhidden);
    products_begin();
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 panel = k / 4 * 64 * 128;
      multiply_shared(before, descriptor(normed_tile + panel) + 2 * (k % 4), descriptor(first + panel) + 2 * (k % 4), k > 0);
    }
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 panel = k / 4 * 64 * 128;
      multiply_shared(dhidden, descriptor(dout_tile + panel) + 2 * (k % 4), descriptor(second + panel) + 2 * (k % 4), k > 0);
    }
    products_end();
    products_wait<0>();
    keep(before), keep(dhidden), keep(left);
    if (c > 0) ring.release(last);
    ring.release(second_stage);
    add_bias(before, first);
#pragma unroll
    for (int i = 0; i < 32; i++) {
      // GELU in its tanh form, and its derivative.
      constexpr float kRoot = 0.7978845608f, kCubic = 0.0356774081f;
      const float v = before[i], square = v * v;
      float t;
      asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(v * (kRoot + kCubic * square)));
      const float half = 0.5f * t + 0.5f;
      const float scale = scales.of[i / 2 % 2];
      before[i] = SCALED ? v * half * scale : v * half;
      if (SCALED) dhidden[i] *= scale;
      dhidden[i] *= half + 0.5f * v * (1.0f - t * t) * (kRoot + 3.0f * kCubic * square);
    }
    to_left(left, before);
#pragma unroll
    for (int i = 0; i < 2; i++) write_left(a.hidden, rows, left, i, c * kTile, a.width);
    to_left(left, dhidden);
    products_begin();
    multiply_over_rows(acc, left, first);
    products_end();
    last = first_stage;
#pragma unroll
    for (int i = 0; i < 2; i++) write_left(a.dbefore, rows, left, i, c * kTile, a.width);
    const float2 sums = sum_over_rows(dhidden);
    const int lane = threadIdx.x & 31, column = c * kTile + column_of(lane / 4 * 8 + lane % 4 * 2);
    if (column < a.width)
      *reinterpret_cast<float2*>(a.partial + ((i64)tile * GROUPS * 4 + threadIdx.x / 32) * a.width + column) = sums;
  }
  products_wait<0>();
  keep(acc);
  ring.release(last);
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) rows.write(a.out, r, i, MODEL, acc + 16 * i);
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) mlp_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Ring ring = start_ring(memory, barriers);
  const u32 tiles = ring.base + STAGES * kStride + threadIdx.x / kWarpgroup * 2 * kUnit;
  run(a, ring, [&](int tile, const Rows& rows) { backward_tile(a, ring, rows, tiles, tile); });
}
