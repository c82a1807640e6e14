// The gradients of the weights of a branch whose widths are small, by Hopper's wgmma (compute capability 9.0 alone):
// all products over tokens, left^T right, in one launch. row_products.cu does it on other GPUs, and has the sums of the
// parts. Any width is right; of large ones a library's kernels are as fast.
//
// Both factors lie row by row, as tokens do, and the products run over rows: both are read transposed out of shared
// memory, where one thread has the hardware copy them (PTX ISA, "Tensor copies" and "Asynchronous warpgroup level
// matrix"). What lies outside of a factor comes as zeros. A block takes every so manieth step of the rows, from the
// last one on: all blocks read the same region at a time, so that a factor's second reader finds it in the L2 cache,
// and begin where the kernel before has just written. Its sums are added to those of the other blocks in a fixed order.
//
// Defined by the caller: SCALAR, of 16 bits, and STAGES as the interface has it.
#include "tile_products_interface.h"
#include "wgmma.cuh"

using namespace mamba_prune::cuda::tile_products_kernel;
static_assert(STAGES == kStages, "the ring is as deep as the host has room for");

#define WGMMA_BOTH_TRANSPOSED(width, sums, left, right) \
  "{ .reg .pred p; setp.eq.u32 p, 0, 0;\n"              \
  "wgmma.mma_async.sync.aligned.m64n" width "k16." WGMMA_TYPES " {" sums "}, " left ", " right ", p, 1, 1, 1, 1; }\n"

// sum [64, 64 Panels] += left^T right, over 16 rows of both.
template <int Panels>
__device__ __forceinline__ void multiply_transposed(float (&sum)[32 * Panels], u64 left, u64 right) {
  if constexpr (Panels == 1)
    asm volatile(WGMMA_BOTH_TRANSPOSED("64", FIRST32, "%32", "%33") : REGISTERS32(sum, 0) : "l"(left), "l"(right));
  else if constexpr (Panels == 2)
    asm volatile(WGMMA_BOTH_TRANSPOSED("128", FIRST32 ", " NEXT32, "%64", "%65")
                 : REGISTERS32(sum, 0), REGISTERS32(sum, 32)
                 : "l"(left), "l"(right));
  else
    asm volatile(WGMMA_BOTH_TRANSPOSED("192", FIRST32 ", " NEXT32 ", " LAST32, "%96", "%97")
                 : REGISTERS32(sum, 0), REGISTERS32(sum, 32), REGISTERS32(sum, 64)
                 : "l"(left), "l"(right));
}
using Steps = Ring<kStageBytes>;
// What a block computes.
struct Tile {
  int which, chunk, m0, n0;
  __device__ __forceinline__ explicit Tile(const ProductsArgs& a) : which(0) {
    while (which + 1 < a.count && (int)blockIdx.x >= a.of[which + 1].first_block) which++;
    const Product& p = a.of[which];
    const int index = blockIdx.x - p.first_block, tile = index % p.tiles;
    chunk = index / p.tiles;
    m0 = tile % p.row_tiles * p.left_panels * kPanel, n0 = tile / p.row_tiles * p.right_panels * kPanel;
  }
};

// A panel of kStep rows, from a column and a row on.
__device__ __forceinline__ void copy_panel(u32 to, const TensorMap& from, int column, int row, u32 barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(to),
      "l"(&from), "r"(column), "r"(row), "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void copy_steps(const ProductsArgs& a, const Tile& tile, Steps ring) {
  const Product& p = a.of[tile.which];
  const u32 bytes = (p.left_panels + p.right_panels) * kPanelBytes;
  for (int step = a.steps - 1 - tile.chunk; step >= 0; step -= p.chunks) {
    barrier_wait(ring.empty + 8 * ring.stage, ring.parity ^ 1);
    const u32 full = ring.full + 8 * ring.stage, to = ring.base + ring.stage * kStageBytes;
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(full), "r"(bytes) : "memory");
    for (int i = 0; i < p.left_panels; i++)
      copy_panel(to + i * kPanelBytes, a.left[tile.which], tile.m0 + i * kPanel, step * kStep, full);
    for (int i = 0; i < p.right_panels; i++)
      copy_panel(to + (kLeftPanels + i) * kPanelBytes, a.right[tile.which], tile.n0 + i * kPanel, step * kStep, full);
    ring.step();
  }
}

// A warpgroup has every second panel of the left factor: Blocks of them, 64 rows of the result each.
template <int Blocks, int Panels>
__device__ __forceinline__ void multiply_steps(const ProductsArgs& a, const Tile& tile, Steps ring) {
  const Product& p = a.of[tile.which];
  const int group = threadIdx.x / kWarpgroup;
  float sum[Blocks][32 * Panels];
#pragma unroll
  for (int b = 0; b < Blocks; b++)
#pragma unroll
    for (int i = 0; i < 32 * Panels; i++) sum[b][i] = 0.0f;
#pragma unroll
  for (int b = 0; b < Blocks; b++) keep(sum[b]);
  u32 before = STAGES;
  for (int step = a.steps - 1 - tile.chunk; step >= 0; step -= p.chunks) {
    const u32 at = ring.acquire();
    products_begin();
#pragma unroll
    for (int k = 0; k < kStep / 16; k++)
#pragma unroll
      for (int b = 0; b < Blocks; b++)
        multiply_transposed<Panels>(sum[b], descriptor(at + (group + kGroups * b) * kPanelBytes + k * 16 * 128),
                                    panels_descriptor(at + kLeftPanels * kPanelBytes + k * 16 * 128, kPanelBytes));
    products_end();
    products_wait<1>();
    if (before < STAGES) ring.release(before);
    before = ring.stage;
    ring.step();
  }
  products_wait<0>();
#pragma unroll
  for (int b = 0; b < Blocks; b++) keep(sum[b]);

  const int lane = threadIdx.x & 31, warp = threadIdx.x / 32 % 4;
  const int row = tile.m0 + group * kPanel + warp * 16 + lane / 4, column = tile.n0 + lane % 4 * 2;
  float* partial = p.partial + (i64)tile.chunk * p.m * p.n;
#pragma unroll
  for (int b = 0; b < Blocks; b++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int m = row + kGroups * b * kPanel + 8 * r;
      // A warpgroup without a panel has multiplied what lay in the place of one.
      if (m >= p.m || group >= p.left_panels) continue;
#pragma unroll
      for (int j = 0; j < 8 * Panels; j++)
        if (column + 8 * j < p.n)
          *reinterpret_cast<float2*>(partial + (i64)m * p.n + column + 8 * j) =
              make_float2(sum[b][4 * j + 2 * r], sum[b][4 * j + 2 * r + 1]);
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, 1) tile_products(const __grid_constant__ ProductsArgs a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Steps ring;
  ring.base = (address_of(memory) + kAlignment - 1) & ~(kAlignment - 1u);
  ring.full = address_of(barriers), ring.empty = ring.full + 8 * STAGES;
  ring.stage = 0, ring.parity = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) barrier_init(ring.full + 8 * i, 1), barrier_init(ring.empty + 8 * i, 4 * kGroups);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const Tile tile(a);
  if (threadIdx.x >= kGroups * kWarpgroup) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x == kGroups * kWarpgroup) copy_steps(a, tile, ring);
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
  const Product& p = a.of[tile.which];
  const bool two = threadIdx.x / kWarpgroup + kGroups < p.left_panels;
  if (p.right_panels == 3) {
    if (two) multiply_steps<2, 3>(a, tile, ring);
    else multiply_steps<1, 3>(a, tile, ring);
  } else if (p.right_panels == 2) {
    if (two) multiply_steps<2, 2>(a, tile, ring);
    else multiply_steps<1, 2>(a, tile, ring);
  } else {
    if (two) multiply_steps<2, 1>(a, tile, ring);
    else multiply_steps<1, 1>(a, tile, ring);
  }
}
