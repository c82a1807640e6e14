// For training: the MLP branch of a block, x + scale fc2(gelu(fc1(norm(x)))), and what of its backward pass mixes no
// tokens. Forward keeps nothing but x; backward computes the normalised rows and the hidden neurons once more. So the
// pass back writes once what the products for the gradients of the weights read, and nothing else of the neurons' width
// moves.
//
// A warpgroup owns 64 tokens, as in fused_mlp.cu. There are two units of weights for every 64 neurons: 64 rows of fc1,
// and the same 64 rows of fc2^T. Where a product runs over the neurons it reads its unit transposed.
//
// Defined by the caller: SCALED (whether there is a scale), and what warpgroup.cuh says.
#include "mlp_train_interface.h"
#include "norm_tile_before.cuh"

using namespace mamba_prune::cuda::mlp_kernel;
using namespace mamba_prune::cuda::mlp_train_kernel;
using Args = TrainArgs<scalar>;

// A thread for each number of a unit, and for its biases behind them.
extern "C" __global__ void __launch_bounds__(kPackThreads) mlp_pack(const PackArgs<scalar> a) {
  const int i = blockIdx.x * kPackThreads + threadIdx.x, unit = blockIdx.y, first = unit / 2 * kTile;
  unsigned char* to = a.units + (i64)unit * kStride;
  if (i < kTile * MODEL) {
    const int neuron = first + column_of(unit_row(i)), column = column_of(unit_column(i));
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

// Of a lane's two rows.
struct Scales {
  float of[2];
  __device__ __forceinline__ Scales(const Args& a, const Rows& rows) {
#pragma unroll
    for (int r = 0; r < 2; r++) of[r] = SCALED ? a.scale[min(rows.first + 8 * r, a.rows - 1) / a.length] : 1.0f;
  }
};

__device__ __forceinline__ void forward_tile(const Args& a, Units& ring, const Rows& rows) {
  float acc[4 * kBlocks];
  read_rows(acc, a.x, rows);
  u32 left[kSteps][4];
  normalized(left, acc, a.norm_weight, a.norm_bias, a.eps);
  const Scales scales(a, rows);
  if (SCALED) {
#pragma unroll
    for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  }
  add_columns(acc, a.bias2);
  keep(acc);

  float sum[32];
  add_mlp(acc, sum, left, ring, a.neuron_units, multiply_over_rows);
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
  Units ring = start_ring(memory, barriers);
  run(a.units, 2 * a.neuron_units, a.rows, ring, [&](int, const Rows& rows) { forward_tile(a, ring, rows); });
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

// Two rows of 32 columns, in pairs as the left operand of a product has them.
__device__ __forceinline__ void write_left(scalar* to, const Rows& rows, const u32 (&left)[4][4], int i, int first,
                                           int width) {
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const i64 at = rows.place(r, i, width - first);
    if (at < 0) continue;
    // `place` counts from the first of the columns and knows their number alone.
    const i64 row = rows.first + 8 * r;
    store16(to + row * width + first + 32 * i + 8 * (threadIdx.x & 3), left[2 * i][r], left[2 * i][2 + r],
            left[2 * i + 1][r], left[2 * i + 1][2 + r]);
  }
}

__device__ __forceinline__ void backward_tile(const Args& a, Units& ring, const Rows& rows, u32 tiles, int tile) {
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
    normalized(left, acc, a.norm_weight, a.norm_bias, a.eps);
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
      }
    write_normed(a.normed, rows, left);
  }
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  group_barrier();
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  keep(acc);

  const Scales scales(a, rows);
  float before[32], dhidden[32];
  const Sums sums(a.partial, tile, a.width);
  const int lane = threadIdx.x & 31, first_column = column_of(lane / 4 * 8 + lane % 4 * 2);
  u32 left[4][4];
  u32 last = 0;
  for (int c = 0; c < a.neuron_units; c++) {
    if (c + 1 == a.neuron_units) {
      // What is read behind the products, and what the next tile begins with.
      const Rows next{rows.first + (int)gridDim.x * kTile * GROUPS, rows.rows};
      rows.announce(a.x), rows.announce(a.dout), next.announce(a.x), next.announce(a.dout);
    }
    const u32 first = ring.acquire(), first_stage = ring.stage;
    ring.step();
    const u32 second = ring.acquire(), second_stage = ring.stage;
    ring.step();
    keep(before), keep(dhidden);
    products_begin();
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 panel = k / 4 * 64 * 128;
      multiply_shared(before, descriptor(normed_tile + panel) + 2 * (k % 4), descriptor(first + panel) + 2 * (k % 4),
                      k > 0);
    }
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 panel = k / 4 * 64 * 128;
      multiply_shared(dhidden, descriptor(dout_tile + panel) + 2 * (k % 4), descriptor(second + panel) + 2 * (k % 4),
                      k > 0);
    }
    products_end();
    const int column = c * kTile + first_column;
    const float2 held = column < a.width ? sums.held(column) : make_float2(0.0f, 0.0f);
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
    const float2 sum = sum_over_rows(dhidden);
    if (column < a.width) sums.put(column, sum, held);
  }
  products_wait<0>();
  keep(acc);
  ring.release(last);
  norm_backward_rows(acc, rows, a.x, a.dout, a.norm_weight, a.eps, a.out, Sums(a.norm_partial, tile, 3 * MODEL));
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) mlp_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring = start_ring(memory, barriers);
  const u32 tiles = ring.base + STAGES * kStride + threadIdx.x / kWarpgroup * 2 * kUnit;
  run(a.units, 2 * a.neuron_units, a.rows, ring,
      [&](int tile, const Rows& rows) { backward_tile(a, ring, rows, tiles, tile); });
}
