// For inference: the MLP branch of a block, the next block's layer normalisation and its in-projection in one kernel.
// Hidden neurons and normalised tokens never leave the registers, so that memory sees x once, out once and the next
// block's input.
//
// A warpgroup owns 64 tokens. A product's result lies in its registers just as the next product wants its left operand,
// so only weights go through shared memory: one more warpgroup copies them there, in units of 64 x MODEL numbers, in
// the order of their use. Hopper's wgmma (compute capability 9.0 alone) multiplies. Columns are permuted, as
// warpgroup.cuh says; fused_mlp.cc packs the weights in that order.
//
// Defined by the caller: NEXT (0 or 1), and what warpgroup.cuh says. For MODEL 64 ptxas of CUDA 13.0 gives `left` and
// `hidden` the same registers, and results are wrong.
#include "fused_mlp_interface.h"
#include "warpgroup.cuh"

using namespace mamba_prune::cuda::mlp_kernel;
using Args = MlpArgs<scalar>;

// Centred and scaled rows; weight and bias of the normalisation are in the product that follows.
__device__ __forceinline__ void normalized(u32 (&left)[kSteps][4], const float (&v)[4 * kBlocks], float eps) {
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
  for (int r = 0; r < 2; r++) scale[r] = rsqrtf(row_sum(squares[r]) * (1.0f / MODEL) + eps), mean[r] *= -scale[r];
#pragma unroll
  for (int k = 0; k < kSteps; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int r = i & 1;
      left[k][i] = pair(v[8 * k + 2 * i] * scale[r] + mean[r], v[8 * k + 2 * i + 1] * scale[r] + mean[r]);
    }
}

__device__ __forceinline__ void mlp_tile(const Args& a, Units& ring, const Rows& rows, const Turns& turns) {
  float acc[4 * kBlocks];
  read_rows(acc, a.x, rows);

  u32 left[kSteps][4];
  normalized(left, acc, a.eps);
  add_columns(acc, a.bias);
  keep(acc);

  float sum[32];
  add_mlp(acc, sum, left, ring, a.neuron_units, turns, multiply_wide);
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) rows.write(a.out, r, i, MODEL, acc + 16 * i);

#if NEXT
  normalized(left, acc, a.eps);
  for (int c = 0; c < a.next_units; c++) {
    const u32 unit = ring.acquire();
    keep(sum);
    products_begin();
    multiply_tall(sum, left, unit);
    products_end();
    products_wait<0>();
    keep(sum);
    add_bias(sum, unit);
    ring.release(ring.stage);
    ring.step();
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) rows.write(a.next, r, 2 * c + i, a.next_width, sum + 16 * i);
  }
#endif
}

extern "C" __global__ void OF_CLUSTER __launch_bounds__(threads_of(GROUPS), 1) fused_mlp(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring = start_ring(memory, barriers);
  run(
      a.units, 2 * a.neuron_units + a.next_units, a.rows, ring, [](int u) { return u; },
      [&](int, const Rows& rows, const Turns& turns) { mlp_tile(a, ring, rows, turns); });
}
