// For training: in_proj(norm(x)) in one kernel, and the pass back from in_proj's results to x in another, with the
// gradient that reaches x past the branch. A warpgroup owns 64 tokens, as in fused_mlp.cu; a unit of weights is 64 rows
// of in_proj. Forward a unit gives 64 columns of the result; backward, read transposed, it takes 64 columns of the
// gradient.
//
// Defined by the caller: as warpgroup.cuh says.
#include "in_proj_train_interface.h"
#include "norm_tile.cuh"

using namespace mamba_prune::cuda::mlp_kernel;
using namespace mamba_prune::cuda::in_proj_train_kernel;
using Args = InProjTrainArgs<scalar>;

extern "C" __global__ void __launch_bounds__(kPackThreads) in_proj_pack(const PackArgs<scalar> a) {
  const int i = blockIdx.x * kPackThreads + threadIdx.x;
  if (i >= kTile * MODEL) return;
  const int row = blockIdx.y * kTile + column_of(unit_row(i));
  scalar value{};
  if (row < a.width) value = a.weight[(i64)row * MODEL + column_of(unit_column(i))];
  reinterpret_cast<scalar*>(a.units + (i64)blockIdx.y * kStride)[i] = value;
}

// Of all tiles of a block, in shared memory.
struct Kept {
  float norm_weight[MODEL], norm_bias[MODEL];
  __device__ __forceinline__ void read(const Args& a) {
    keep_columns(norm_weight, a.norm_weight), keep_columns(norm_bias, a.norm_bias);
  }
};

__device__ __forceinline__ void forward_tile(const Args& a, Units& ring, const Rows& rows, const Kept& kept) {
  u32 left[kSteps][4];
  {
    float x[4 * kBlocks];
    read_rows(x, a.x, rows);
    rows.of_next_tile().announce(a.x);
    normalized(left, x, RowScale([&](int i) { return x[i]; }, a.eps), kept.norm_weight, kept.norm_bias);
  }
  write_normed(a.normed, rows, left);
  Wide wide(rows, a.width);
  float sum[32];
  u32 packed[4][4];
  for (int c = 0; c < a.unit_count; c++) {
    const u32 unit = ring.acquire();
    keep(sum), keep(left);
    products_begin();
    multiply_tall(sum, left, unit);
    products_end();
    // The results before, while these are computed.
    if (c > 0) wide.write(a.xz, packed), wide.step();
    products_wait<0>();
    keep(sum), keep(left);
    ring.release(ring.stage);
    ring.step();
    to_left(packed, sum);
  }
  wide.write(a.xz, packed);
}

constexpr int kDeep = 3;  // groups of 64 columns of the gradient that are on their way

__device__ __forceinline__ void backward_tile(const Args& a, Units& ring, const Rows& rows, const Kept& kept,
                                              const CopiedRows& x_rows, const CopiedRows& dout_rows, int tile) {
  float acc[4 * kBlocks];
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  const scalar* from[2] = {rows.nearest(a.xz, 0, a.width), rows.nearest(a.xz, 1, a.width)};
  const int column = 8 * (threadIdx.x & 3), last = a.width - 8 - column;
  uint4 next[kDeep][2][2];
  const auto read = [&](int j, int c) {
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) next[j][i][r] = *reinterpret_cast<const uint4*>(from[r] + min(64 * c + 32 * i, last));
  };
#pragma unroll
  for (int j = 0; j < kDeep; j++) read(j, j);
  // What the normalisation's pass back reads, behind all products, and therefore behind what the first of them wait
  // for.
  x_rows.copy(a.x, rows), dout_rows.copy(a.dout, rows);
  u32 left[4][4];
  keep(acc);
  for (int c0 = 0; c0 < a.unit_count; c0 += kDeep) {
#pragma unroll
    for (int j = 0; j < kDeep; j++) {
      const int c = c0 + j;
      if (c >= a.unit_count) break;
      // Of numbers that are not there zeros, which no copy is: into a register that a product reads a load would have
      // to wait for the product, so that the compiler would have it go elsewhere and then wait for memory to move it.
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const uint4& v = next[j][i][r];
          const u32 there = rows.has(r) && 64 * c + 32 * i <= last ? 0xffffffffu : 0;
          left[2 * i][r] = v.x & there, left[2 * i][2 + r] = v.y & there;
          left[2 * i + 1][r] = v.z & there, left[2 * i + 1][2 + r] = v.w & there;
        }
      keep(left);
      read(j, c + kDeep);
      const u32 unit = ring.acquire();
      products_begin();
      multiply_over_rows(acc, left, unit);
      products_end();
      products_wait<0>();
      keep(acc), keep(left);
      ring.release(ring.stage);
      ring.step();
    }
  }
  // Memory brings what the next tile begins with while this one's normalisation has nothing to read.
  const Rows next_rows = rows.of_next_tile();
  next_rows.announce(a.xz, a.width), next_rows.announce(a.x), next_rows.announce(a.dout);
  CopiedRows::wait();
  norm_backward_rows(
      acc, rows, x_rows, RowScale(x_rows.read<MODEL / 32>(0), a.eps),
      [&](int block) { return dout_rows.read<2>(2 * block); }, kept.norm_weight, a.dx,
      Sums(a.norm_partial, tile, 3 * MODEL));
}

extern "C" __global__ void OF_CLUSTER __launch_bounds__(threads_of(GROUPS), 1) in_proj_forward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  __shared__ Kept kept;
  kept.read(a);
  Units ring = start_ring(memory, barriers);
  run(
      a.units, a.unit_count, a.rows, ring, [](int u) { return u; },
      [&](int, const Rows& rows, const Turns&) { forward_tile(a, ring, rows, kept); });
}

extern "C" __global__ void OF_CLUSTER __launch_bounds__(threads_of(GROUPS), 1) in_proj_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  __shared__ Kept kept;
  kept.read(a);
  Units ring = start_ring(memory, barriers);
  run(
      a.units, a.unit_count, a.rows, ring, [](int u) { return u; },
      [&](int tile, const Rows& rows, const Turns& turns) {
        const u32 copied = ring.base + STAGES * kStride + turns.group * 2 * CopiedRows::kBytes;
        backward_tile(a, ring, rows, kept, CopiedRows(copied), CopiedRows(copied + CopiedRows::kBytes), tile);
      });
}
