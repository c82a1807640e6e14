// For training: in_proj(norm(x)) in one kernel, and the pass back from in_proj's results to x in another, with the
// gradient that reaches x past the branch. A warpgroup owns 64 tokens, as in fused_mlp.cu; a unit of weights is 64 rows
// of in_proj. Forward a unit gives 64 columns of the result; backward, read transposed, it takes 64 columns of the
// gradient.
//
// Defined by the caller: as warpgroup.cuh says.
#include "in_proj_train_interface.h"
#include "norm_tile_before.cuh"

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

__device__ __forceinline__ void forward_tile(const Args& a, Units& ring, const Rows& rows) {
  u32 left[kSteps][4];
  {
    float x[4 * kBlocks];
    read_rows(x, a.x, rows);
    normalized(left, x, a.norm_weight, a.norm_bias, a.eps);
  }
  write_normed(a.normed, rows, left);
  float sum[32];
  for (int c = 0; c < a.unit_count; c++) {
    multiply_next(sum, left, ring);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) rows.write(a.xz, r, 2 * c + i, a.width, sum + 16 * i);
  }
}

constexpr int kDeep = 3;  // groups of 64 columns of the gradient that are on their way

__device__ __forceinline__ void backward_tile(const Args& a, Units& ring, const Rows& rows, int tile) {
  // What the normalisation's pass back reads, behind all products.
  rows.announce(a.x), rows.announce(a.dout);
  float acc[4 * kBlocks];
#pragma unroll
  for (int i = 0; i < 4 * kBlocks; i++) acc[i] = 0.0f;
  uint4 next[kDeep][2][2];
  const auto read = [&](int j, int c) {
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) next[j][i][r] = rows.read(a.xz, r, 2 * c + i, a.width);
  };
#pragma unroll
  for (int j = 0; j < kDeep; j++) read(j, j);
  u32 left[4][4];
  keep(acc);
  for (int c0 = 0; c0 < a.unit_count; c0 += kDeep) {
#pragma unroll
    for (int j = 0; j < kDeep; j++) {
      const int c = c0 + j;
      if (c >= a.unit_count) break;
      const u32 unit = ring.acquire();
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const uint4& from = next[j][i][r];
          left[2 * i][r] = from.x, left[2 * i][2 + r] = from.y;
          left[2 * i + 1][r] = from.z, left[2 * i + 1][2 + r] = from.w;
        }
      keep(left);
      products_begin();
      multiply_over_rows(acc, left, unit);
      products_end();
      products_wait<0>();
      keep(acc), keep(left);
      // Not before: a load into registers that a product still reads would make ptxas wait for each product.
      read(j, c + kDeep);
      ring.release(ring.stage);
      ring.step();
    }
  }
  norm_backward_rows(acc, rows, a.x, a.dout, a.norm_weight, a.eps, a.dx, Sums(a.norm_partial, tile, 3 * MODEL));
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) in_proj_forward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring = start_ring(memory, barriers);
  run(a.units, a.unit_count, a.rows, ring, [&](int, const Rows& rows) { forward_tile(a, ring, rows); });
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) in_proj_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring = start_ring(memory, barriers);
  run(a.units, a.unit_count, a.rows, ring, [&](int tile, const Rows& rows) { backward_tile(a, ring, rows, tile); });
}
