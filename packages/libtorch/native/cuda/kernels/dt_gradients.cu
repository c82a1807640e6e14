// What goes back from the step sizes and from B and C, in one reading of the gradient of the step sizes: the gradient
// of x_proj's result, dprojected = (ddelta dt_proj, sums of the gradients of B and C over the blocks of the scan), and
// that of dt_proj's weight, ddelta^T (the numbers of low rank).
//
// A block takes tiles of 64 tokens, whose rows lie in shared memory in panels of 64 channels. First a warp multiplies
// its 16 tokens by all channels, then 16 channels of every panel, transposed, by all tokens; the sums of that stay in
// registers until the last tile.
//
// Defined by the caller: SCALAR, of 16 bits, PANELS (of 64 channels, those behind the width zero) and BLOCKS (of a
// multiprocessor).
#include "dt_gradients_interface.h"
#include "pairs.cuh"
#include "tile_ops.cuh"

using namespace mamba_prune::cuda::dt_kernel;
using Args = DtArgs<scalar>;

struct Memory {
  scalar rows[PANELS][kTile][kTile];  // pieces of 16 bytes of a row exchanged by its place among 8
  scalar weight[PANELS * kTile][kRow], numbers[kTile][kRow];
};
static_assert(sizeof(Memory) == shared_bytes(PANELS) && PANELS <= kMostPanels, "as the host says");

__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }
// Four tiles of 8 x 8; lane 8 m + i tells where row i of tile m is. Transposed, a lane gets columns of them.
__device__ __forceinline__ void load_tiles(u32 (&to)[4], const scalar* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_transposed(u32 (&to)[4], const scalar* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
// The right operand of both products: 16 rows from `first` on, times the numbers of low rank.
__device__ __forceinline__ void load_right(u32 (&to)[4], const scalar (*rows)[kRow], int first) {
  const int lane = threadIdx.x % 32;
  load_transposed(to, &rows[first + lane % 16][lane / 16 * 8]);
}

// A tile's rows of the gradient of the step sizes, and of the numbers of low rank. Those that are not there are zero.
__device__ __forceinline__ void copy_tile(Memory& memory, const Args& a, int first) {
  constexpr int kAtOnce = kThreads / 8;
  const int piece = threadIdx.x % 8, row = threadIdx.x / 8;
#pragma unroll
  for (int r = 0; r < kTile; r += kAtOnce) {
    const bool there = first + r + row < a.rows;
    const scalar* from = a.ddelta + (i64)(first + r + row) * a.width + 8 * piece;
#pragma unroll
    for (int panel = 0; panel < PANELS; panel++)
      copy_piece(&memory.rows[panel][r + row][(piece ^ row % 8) * 8], from + panel * kTile,
                 there && panel * kTile + 8 * piece < a.width);
  }
  const int of = threadIdx.x / 2, half = threadIdx.x % 2 * 8;
  copy_piece(&memory.numbers[of][half], a.projected + (i64)(first + of) * kColumns + half, first + of < a.rows);
}
__device__ __forceinline__ void copy_weight(Memory& memory, const Args& a) {
#pragma unroll
  for (int i = threadIdx.x; i < 2 * PANELS * kTile; i += kThreads)
    copy_piece(&memory.weight[i / 2][i % 2 * 8], a.weight + i * 8, i / 2 < a.width);
}

// The gradients of B and C: a lane's numbers of its two rows, summed over the blocks of the scan.
__device__ __forceinline__ void sum_states(float (&sum)[kStates], const Args& a, int first) {
#pragma unroll
  for (int i = 0; i < kStates; i++) sum[i] = 0.0f;
#pragma unroll 3
  for (int b = 0; b < a.blocks; b++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const i64 row = min(first + 8 * r, a.rows - 1);
      const float* from = a.states + ((i64)b * a.rows + row) * (2 * kStates) + 2 * (threadIdx.x & 3);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float2 v = *reinterpret_cast<const float2*>(from + 8 * j);
        sum[4 * j + 2 * r] += v.x, sum[4 * j + 2 * r + 1] += v.y;
      }
    }
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS) dt_gradients(const Args a) {
  extern __shared__ __align__(128) unsigned char shared[];
  Memory& memory = *reinterpret_cast<Memory*>(shared);
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int warp = __shfl_sync(kAllLanes, threadIdx.x / 32, 0);
  const int tiles = (a.rows + kTile - 1) / kTile;
  float of_weight[PANELS][2][4];
#pragma unroll
  for (int panel = 0; panel < PANELS; panel++)
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) of_weight[panel][n][i] = 0.0f;

  copy_weight(memory, a);
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int first = tile * kTile, own = first + 16 * warp + g;
    copy_tile(memory, a, first);
    float states[kStates];
    sum_states(states, a, own);
    copies_wait();
    __syncthreads();

    float sum[2][4] = {};
#pragma unroll
    for (int panel = 0; panel < PANELS; panel++)
#pragma unroll
      for (int k = 0; k < 4; k++) {
        u32 left[4], right[4];
        const int row = 16 * warp + lane % 16, piece = 2 * k + lane / 16;
        load_tiles(left, &memory.rows[panel][row][(piece ^ row % 8) * 8]);
        load_right(right, memory.weight, panel * kTile + 16 * k);
        add_product(sum[0], left, right[0], right[1]), add_product(sum[1], left, right[2], right[3]);
      }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      if (own + 8 * r >= a.rows) continue;
      u32* to = reinterpret_cast<u32*>(a.dprojected + (i64)(own + 8 * r) * kColumns) + t;
#pragma unroll
      for (int n = 0; n < 2; n++) to[4 * n] = pair(sum[n][2 * r], sum[n][2 * r + 1]);
#pragma unroll
      for (int j = 0; j < 4; j++) to[kRank / 2 + 4 * j] = pair(states[4 * j + 2 * r], states[4 * j + 2 * r + 1]);
    }

#pragma unroll
    for (int k = 0; k < kTile / 16; k++) {
      u32 right[4];
      load_right(right, memory.numbers, 16 * k);
#pragma unroll
      for (int panel = 0; panel < PANELS; panel++) {
        u32 left[4];
        const int row = 16 * k + lane / 16 * 8 + lane % 8, piece = 2 * warp + lane / 8 % 2;
        load_transposed(left, &memory.rows[panel][row][(piece ^ row % 8) * 8]);
        add_product(of_weight[panel][0], left, right[0], right[1]);
        add_product(of_weight[panel][1], left, right[2], right[3]);
      }
    }
    __syncthreads();
  }
  copies_wait();

  float* const partial = a.partial + (i64)blockIdx.x * a.width * kRank;
#pragma unroll
  for (int panel = 0; panel < PANELS; panel++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int channel = panel * kTile + 16 * warp + g + 8 * r;
      if (channel >= a.width) continue;
#pragma unroll
      for (int n = 0; n < 2; n++)
        *reinterpret_cast<float2*>(partial + channel * kRank + 8 * n + 2 * t) =
            make_float2(of_weight[panel][n][2 * r], of_weight[panel][n][2 * r + 1]);
    }
}
