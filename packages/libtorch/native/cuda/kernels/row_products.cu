// The gradients of the weights of a branch whose widths are small: all products over tokens, left^T right, in one
// launch, and all sums of partial results in another. A library takes a launch or two for each, most of which is
// waiting. On Hopper tile_products.cu multiplies, and only the sums are of this file.
//
// A block multiplies a chunk of the rows for a tile of one result. Both factors lie row by row, as tokens do, so both
// are read transposed out of shared memory (PTX ISA, ldmatrix .trans and mma.m16n8k16). The sums over the chunks are
// added up in a fixed order, so that a step is the same at every run.
//
// Defined by the caller: SCALAR, of 16 bits.
#include "row_products_interface.h"

using namespace mamba_prune::cuda::row_products_kernel;
using Args = ProductsArgs<scalar>;

__device__ __forceinline__ u32 address_of(const void* shared) { return (u32)__cvta_generic_to_shared(shared); }

// 16 bytes on their way into shared memory; zeros where they are not there.
__device__ __forceinline__ void copy16(u32 to, const scalar* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Left> __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}
// Four matrices of 8 x 8, each transposed; a lane gives the address of one row.
__device__ __forceinline__ void load_transposed(u32 (&to)[4], u32 row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define MMA_TYPES "f32.bf16.bf16.f32"
#else
#define MMA_TYPES "f32.f16.f16.f32"
#endif
// sum [16, 8] += left [16, 16] right [16, 8].
__device__ __forceinline__ void multiply(float (&sum)[4], const u32 (&left)[4], u32 right0, u32 right1) {
  asm("mma.sync.aligned.m16n8k16.row.col." MMA_TYPES " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

constexpr int kWarpRows = 2, kWarpColumns = 4;                   // of a block's warps
constexpr int kRowBlocks = kTileRows / 16 / kWarpRows;           // of a warp, 16 rows of the result each
constexpr int kColumnBlocks = kTileColumns / 16 / kWarpColumns;  // 16 columns each
static_assert(kWarpRows * kWarpColumns * 32 == kThreads && kThreads == 4 * kStep, "four threads copy a row");

extern "C" __global__ void __launch_bounds__(kThreads, 1) row_products(const __grid_constant__ Args a) {
  extern __shared__ __align__(16) unsigned char memory[];
  int which = 0;
  while (which + 1 < a.count && (int)blockIdx.x >= a.of[which + 1].first_block) which++;
  const Product<scalar>& p = a.of[which];
  const int index = blockIdx.x - p.first_block, tile = index % p.tiles, chunk = index / p.tiles;
  const int m0 = tile % p.row_tiles * kTileRows, n0 = tile / p.row_tiles * kTileColumns;
  const int m = min(kTileRows, p.m - m0), n = min(kTileColumns, p.n - n0);
  const int begin = chunk * p.per_chunk, end = min(begin + p.per_chunk, a.rows);
  const int steps = (end - begin + kStep - 1) / kStep;
  const u32 base = address_of(memory);

  const int copied_row = threadIdx.x / 4, copied = threadIdx.x % 4 * 8;
  const auto copy = [&](int step) {
    const int row = begin + step * kStep + copied_row;
    const bool there = row < end;
    const i64 at = min(row, end - 1);
    const scalar *left = p.left + at * p.left_row + m0, *right = p.right + at * p.right_row + n0;
    const u32 stage = base + step % kStages * kStageElements * 2;
    const u32 to_left = stage + copied_row * kLeftRow * 2,
              to_right = stage + (kStep * kLeftRow + copied_row * kRightRow) * 2;
#pragma unroll
    for (int i = 0; i < kTileRows / 32; i++) {
      const int c = copied + 32 * i;
      if (c < m) copy16(to_left + c * 2, left + c, there);
    }
#pragma unroll
    for (int i = 0; i < kTileColumns / 32; i++) {
      const int c = copied + 32 * i;
      if (c < n) copy16(to_right + c * 2, right + c, there);
    }
  };

  float sum[kRowBlocks][2 * kColumnBlocks][4];
#pragma unroll
  for (int i = 0; i < kRowBlocks; i++)
#pragma unroll
    for (int j = 0; j < 2 * kColumnBlocks; j++)
#pragma unroll
      for (int k = 0; k < 4; k++) sum[i][j][k] = 0.0f;

  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  // Rows of 16 of the result by turns, so that both halves of the warps have as much to do in a narrow one.
  const int first_row = warp % kWarpRows * 16, first_column = warp / kWarpRows * kColumnBlocks * 16;
  const u32 left_lane = ((lane % 8 + lane / 16 * 8) * kLeftRow + first_row + lane / 8 % 2 * 8) * 2;
  const u32 right_lane =
      (kStep * kLeftRow + (lane % 8 + lane / 8 % 2 * 8) * kRightRow + first_column + lane / 16 * 8) * 2;

#pragma unroll
  for (int i = 0; i < kStages - 1; i++) {
    if (i < steps) copy(i);
    copies_end();
  }
  for (int step = 0; step < steps; step++) {
    copies_wait<kStages - 2>();
    __syncthreads();
    if (step + kStages - 1 < steps) copy(step + kStages - 1);
    copies_end();
    const u32 stage = base + step % kStages * kStageElements * 2;
#pragma unroll
    for (int k = 0; k < kStep; k += 16) {
      u32 right[kColumnBlocks][4];
#pragma unroll
      for (int j = 0; j < kColumnBlocks; j++)
        if (first_column + 16 * j < n) load_transposed(right[j], stage + right_lane + (k * kRightRow + 16 * j) * 2);
#pragma unroll
      for (int i = 0; i < kRowBlocks; i++) {
        if (first_row + 16 * kWarpRows * i >= m) break;
        u32 left[4];
        load_transposed(left, stage + left_lane + (k * kLeftRow + 16 * kWarpRows * i) * 2);
#pragma unroll
        for (int j = 0; j < kColumnBlocks; j++)
          if (first_column + 16 * j < n) {
            multiply(sum[i][2 * j], left, right[j][0], right[j][1]);
            multiply(sum[i][2 * j + 1], left, right[j][2], right[j][3]);
          }
      }
    }
  }

  float* partial = p.partial + (i64)chunk * p.m * p.n + n0;
#pragma unroll
  for (int i = 0; i < kRowBlocks; i++)
#pragma unroll
    for (int j = 0; j < 2 * kColumnBlocks; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const int row = first_row + 16 * kWarpRows * i + lane / 4 + 8 * r, column = first_column + 8 * j + lane % 4 * 2;
        if (row < m && column < n)
          *reinterpret_cast<float2*>(partial + (i64)(m0 + row) * p.n + column) =
              make_float2(sum[i][j][2 * r], sum[i][j][2 * r + 1]);
      }
}

// Where a row or column goes; below 0 where it is not kept.
__device__ __forceinline__ int place_of(const Kept& kept, int at) {
  if (at >= kept.split) at = at < kept.split + kept.skip ? kept.count : at - kept.skip;
  return at < kept.count ? at : -1;
}

extern "C" __global__ void __launch_bounds__(kThreads) row_sums(const __grid_constant__ SumsArgs a) {
  __shared__ float sums[kThreads];
  int which = 0;
  while (which + 1 < a.count && (int)blockIdx.x >= a.of[which + 1].first_block) which++;
  const Sum& s = a.of[which];
  const int lane = threadIdx.x % s.across, group = threadIdx.x / s.across, groups = kThreads / s.across;
  const int at = (blockIdx.x - s.first_block) * s.across + lane;
  float sum = 0.0f;
  // What is behind the last part is zero: a loop of its own would wait for memory once more for each of the last parts.
  constexpr int kAtOnce = 18;
  for (int first = group; at < s.size && first < s.parts; first += kAtOnce * groups) {
    float parts[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; i++) {
      const int part = min(first + i * groups, s.parts - 1);
      asm volatile("ld.global.f32 %0, [%1];" : "=f"(parts[i]) : "l"(s.partial + (i64)part * s.size + at));
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; i++) sum += first + i * groups < s.parts ? parts[i] : 0.0f;
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  if (group > 0 || at >= s.size) return;
  float total = 0.0f;
  for (int g = 0; g < groups; g++) total += sums[g * s.across + lane];
  const int row = place_of(s.kept_rows, at / s.columns), column = place_of(s.kept_columns, at % s.columns);
  if (row >= 0 && column >= 0) s.out[(i64)row * s.row_step + (i64)column * s.column_step] = total;
}
