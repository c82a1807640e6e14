// For training: the MLP branch of a block, x + scale fc2(gelu(fc1(norm(x)))), and what of its backward pass mixes no
// tokens. Forward keeps nothing but x; backward computes the normalised rows and the hidden neurons once more. So the
// pass back writes once what the products for the gradients of the weights read, and nothing else of the neurons' width
// moves.
//
// A warpgroup owns 64 tokens, as in fused_mlp.cu. There are two units of weights for every 64 neurons: 64 rows of fc1,
// and the same 64 rows of fc2^T. Where a product runs over the neurons it reads its unit transposed.
//
// Backward fc2^T comes before fc1, which is read again one turn later: so units are free again in the order in which
// they came, and the next ones are on their way a whole turn of both warpgroups before they are multiplied by.
//
// Defined by the caller: SCALED (whether there is a scale), and what warpgroup.cuh says.
#include "mlp_train_interface.h"
#include "norm_tile.cuh"

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

// Of all tiles of a block, in shared memory.
struct Kept {
  float norm_weight[MODEL], norm_bias[MODEL], bias2[MODEL];
  __device__ __forceinline__ void read(const Args& a) {
    keep_columns(norm_weight, a.norm_weight), keep_columns(norm_bias, a.norm_bias), keep_columns(bias2, a.bias2);
  }
};
// The same for the pass back, and what a warp knows of its own rows.
struct KeptBackward {
  float norm_weight[MODEL], norm_bias[MODEL];
  float2 scales[GROUPS * kTile];  // of each row, scale and shift
  __device__ __forceinline__ void read(const Args& a) {
    keep_columns(norm_weight, a.norm_weight), keep_columns(norm_bias, a.norm_bias);
  }
  __device__ __forceinline__ static int row(int r) { return threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4 + 8 * r; }
  __device__ __forceinline__ void put(const RowScale& norm) {
    if ((threadIdx.x & 3) == 0)
#pragma unroll
      for (int r = 0; r < 2; r++) scales[row(r)] = make_float2(norm.scale[r], norm.shift[r]);
    __syncwarp();
  }
  __device__ __forceinline__ RowScale norm() const {
    RowScale norm;
#pragma unroll
    for (int r = 0; r < 2; r++) norm.scale[r] = scales[row(r)].x, norm.shift[r] = scales[row(r)].y;
    return norm;
  }
};

__device__ __forceinline__ void forward_tile(const Args& a, Units& ring, const Rows& rows, const Turns& turns,
                                             const Kept& kept) {
  float acc[4 * kBlocks];
  read_rows(acc, a.x, rows);
  rows.of_next_tile().announce(a.x);
  u32 left[kSteps][4];
  normalized(left, acc, RowScale([&](int i) { return acc[i]; }, a.eps), kept.norm_weight, kept.norm_bias);
  const Scales scales(a, rows);
  if (SCALED) {
#pragma unroll
    for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  }
  add_columns(acc, kept.bias2);
  keep(acc);

  float sum[32];
  add_mlp(acc, sum, left, ring, a.neuron_units, turns, multiply_over_rows);
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

extern "C" __global__ void OF_CLUSTER __launch_bounds__(threads_of(GROUPS), 1) mlp_forward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  __shared__ Kept kept;
  kept.read(a);
  Units ring = start_ring(memory, barriers);
  run(
      a.units, 2 * a.neuron_units, a.rows, ring, [](int u) { return u; },
      [&](int, const Rows& rows, const Turns& turns) { forward_tile(a, ring, rows, turns, kept); });
}

// Behind the ring, for each warpgroup: its rows of the two left operands, 64 columns a panel, as a unit lies.
__device__ __forceinline__ u32 place_of(u32 tile, int block) {
  const int row = (threadIdx.x & 127) / 32 * 16 + (threadIdx.x & 31) / 4;
  return tile + block / 8 * 64 * 128 + row * 128 + ((block ^ row) & 7) * 16 + (threadIdx.x & 3) * 4;
}
__device__ __forceinline__ void put(u32 at, u32 value) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(at), "r"(value) : "memory");
}
__device__ __forceinline__ u32 get(u32 at) {
  u32 value;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(value) : "r"(at));
  return value;
}
// All threads of a warpgroup.
__device__ __forceinline__ void group_barrier() {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + threadIdx.x / kWarpgroup) : "memory");
}

__device__ __forceinline__ void backward_tile(const Args& a, Units& ring, const Rows& rows, const Turns& turns,
                                              KeptBackward& kept, u32 tiles, int tile) {
  const u32 normed_tile = tiles, dout_tile = tiles + kUnit;
  float acc[4 * kBlocks];
  const PackedRows<MODEL / 32> dout_rows = packed_rows(a.dout, rows), x_rows = packed_rows(a.x, rows);
  // All are through with the tile before; and all loads are on their way, before the first one is waited for.
  group_barrier();
  take_rows(acc, x_rows);
  {
    const RowScale norm([&](int i) { return acc[i]; }, a.eps);
    kept.put(norm);
    u32 left[kSteps][4];
    normalized(left, acc, norm, kept.norm_weight, kept.norm_bias);
#pragma unroll
    for (int j = 0; j < kBlocks; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        put(place_of(normed_tile, j) + r * 8 * 128, left[j / 2][j % 2 * 2 + r]);
        // Rows that are not there add to no sum.
        put(place_of(dout_tile, j) + r * 8 * 128, rows.has(r) ? dout_rows.pair_of(j, r) : 0);
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
  const u64 normed = descriptor(normed_tile), dout = descriptor(dout_tile);
  const auto multiply_tokens = [&](u32 first, u32 second) {
    const u64 by_first = descriptor(first), by_second = descriptor(second);
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 at = k / 4 * 64 * 128 + k % 4 * 32;
      multiply_shared(before, further(normed, at), further(by_first, at), k > 0);
    }
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const u32 at = k / 4 * 64 * 128 + k % 4 * 32;
      multiply_shared(dhidden, further(dout, at), further(by_second, at), k > 0);
    }
  };
  Wide wide(rows, a.width);
  u32 left[4][4];
  u32 second = ring.acquire(), second_stage = ring.stage;
  ring.step();
  u32 first = ring.acquire(), stage = ring.stage, stage_before = 0;
  ring.step();
  turns.take();
  keep(before), keep(dhidden);
  products_begin();
  multiply_tokens(first, second);
  products_end();
  turns.pass();
  for (int c = 0;; c++) {
    products_wait<0>();
    keep(before), keep(dhidden), keep(left), keep(acc);
    if (c > 0) ring.release(stage_before);
    ring.release(second_stage);
    add_bias(before, first);
#pragma unroll
    for (int i = 0; i < 32; i++) {
      // GELU in its tanh form, g = v half with half = (1 + t) / 2, and its derivative: that of half is
      // 2 half (1 - half) (kRoot + 3 kCubic v^2).
      constexpr float kRoot = 0.7978845608f, kCubic = 0.0356774081f;
      const float v = before[i], square = v * v;
      float t;
      asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(v * (kRoot + kCubic * square)));
      const float half = 0.5f * t + 0.5f, result = v * half;
      const float scale = scales.of[i / 2 % 2];
      before[i] = SCALED ? result * scale : result;
      if (SCALED) dhidden[i] *= scale;
      dhidden[i] *= half + (result - result * half) * (2.0f * kRoot + 6.0f * kCubic * square);
    }
    to_left(left, before);
    wide.write(a.hidden, left);
    to_left(left, dhidden);
    const int column = c * kTile + first_column;
    const float2 sum = sum_over_rows(dhidden);
    if (column < a.width) sums.put(column, sum);
    if (c == max(a.neuron_units - 2, 0)) {
      // What is read behind the products, and what the next tile begins with.
      rows.announce(a.x);
      const Rows next = rows.of_next_tile();
      next.announce(a.x), next.announce(a.dout);
    }
    if (c + 1 == a.neuron_units) break;
    const u32 of_before = first;
    stage_before = stage;
    second = ring.acquire(), second_stage = ring.stage;
    ring.step();
    first = ring.acquire(), stage = ring.stage;
    ring.step();
    turns.take();
    keep(before), keep(dhidden), keep(left), keep(acc);
    products_begin();
    multiply_over_rows(acc, left, of_before);
    multiply_tokens(first, second);
    products_end();
    turns.pass();
    wide.write(a.dbefore, left);
    wide.step();
  }
  // What is read behind the products comes where the normalised rows are, by which nobody multiplies any more.
  group_barrier();
  const CopiedRows x_copied(normed_tile);
  x_copied.copy(a.x, rows);
  turns.take();
  keep(left), keep(acc);
  products_begin();
  multiply_over_rows(acc, left, first);
  products_end();
  turns.pass();
  wide.write(a.dbefore, left);
  products_wait<0>();
  keep(acc), keep(left);
  ring.release(stage);
  const auto skip_of = [&](int block) {
    PackedRows<2> skip;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const auto part = [&](int p) { return get(place_of(dout_tile, 8 * block + 4 * i + p) + r * 8 * 128); };
        skip.v[r][i] = uint4{part(0), part(1), part(2), part(3)};
      }
    return skip;
  };
  CopiedRows::wait();
  norm_backward_rows(acc, rows, x_copied, kept.norm(), skip_of, kept.norm_weight, a.out,
                     Sums(a.norm_partial, tile, 3 * MODEL));
}

extern "C" __global__ void OF_CLUSTER __launch_bounds__(threads_of(GROUPS), 1) mlp_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  __shared__ KeptBackward kept;
  kept.read(a);
  Units ring = start_ring(memory, barriers);
  run(
      a.units, 2 * a.neuron_units, a.rows, ring, [](int u) { return u ^ 1; },
      [&](int tile, const Rows& rows, const Turns& turns) {
        const u32 tiles = ring.base + STAGES * kStride + turns.group * 2 * kUnit;
        backward_tile(a, ring, rows, turns, kept, tiles, tile);
      });
}
