// The causal convolution over time with silu, u = silu(bias + sum_k w_k x_{t - TAPS + 1 + k}), and what the projections
// make of it, projected = u projection^T, so that u is written and not read again.
//
// A warp has 64 channels, a lane two of them, and a block all channels of a tile of 16 steps of a sequence. Rows come
// into shared memory, and results go from there to memory and to the tensor cores: a warp multiplies its channels of
// the tile, and the block adds up what its warps leave. A block takes one tile after the other; the rows of the next
// one are asked for as soon as lanes have taken those of this one.
//
// Defined by the caller: TAPS, HAS_BIAS and SILU as for conv.cu; SCALAR, of 16 bits, VECTOR, which is 2, and REVERSE,
// which is 0; COLUMNS of the projections, a multiple of 16; WARPS, and BLOCKS (of a multiprocessor).
#include "conv.cuh"
#include "pairs.cuh"

using ProjectArgs = ConvProjectArgs<scalar>;

static_assert(VECTOR == 2 && !REVERSE && COLUMNS % 16 == 0, "a lane has two neighbouring channels");

constexpr int kReach = TAPS - 1, kInputs = kTileSteps + kReach;
static_assert(kReach <= kMostReach, "of so many steps there is room");
constexpr int kThreads = 32 * WARPS;
constexpr int kDeep = kTileChannels / 16, kWide = COLUMNS / 8;  // products of 16 channels, and of 8 columns
constexpr int kPieces = kTileChannels / 8;                      // of 16 bytes of a row of weights

// Of a warp. Rows are such that lanes read and write in banks of their own: those of u are padded, pieces of weights
// and numbers of sums are exchanged.
struct alignas(16) Memory {
  scalar weights[COLUMNS][kTileChannels];
  union {
    scalar u[kTileSteps][kTileChannels + 8];
    float sums[kTileSteps][COLUMNS];
  };
  scalar x[kTileSteps + kMostReach][kTileChannels];
};
static_assert(sizeof(Memory) == project_warp_bytes(COLUMNS), "as the host says");
__device__ __forceinline__ int sum_column(int row, int column) { return column ^ (row & 2) << 2; }

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
// Four tiles of 8 x 8; lane 8 m + i tells where row i of tile m is.
__device__ __forceinline__ void load_tiles(u32 (&to)[4], const scalar* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
// d += a b: rows are steps, columns those of the projections, the depth channels.
__device__ __forceinline__ void add_product(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define TYPES "bf16.bf16"
#else
#define TYPES "f16.f16"
#endif
  asm("mma.sync.aligned.m16n8k16.row.col.f32." TYPES ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#undef TYPES
}

// sum * sigmoid(sum).
__device__ __forceinline__ float silu(float sum) {
  const float half = 0.5f * sum;
  float r;
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(half));
  return half * r + half;
}
// A block's tiles, one after the other.
struct Tile {
  int batch, first;
  __device__ __forceinline__ explicit Tile(int steps)
      : batch(blockIdx.x * kTileSteps / steps), first(blockIdx.x * kTileSteps % steps) {}
  // `steps` are those of a sequence in whole tiles, and of as many as there are blocks the quotient and the rest by
  // them.
  __device__ __forceinline__ Tile next(int steps, int quotient, int rest) const {
    Tile to = *this;
    to.batch += quotient, to.first += rest;
    if (to.first >= steps) to.batch++, to.first -= steps;
    return to;
  }
};
// 16 bytes into shared memory, zeros where there is nothing to copy.
__device__ __forceinline__ void copy_piece(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncwarp();
}
// A tile's rows of x and those before it. Those that are not there are zero.
__device__ __forceinline__ void copy_rows(Memory& of_warp, const ProjectArgs& a, const Tile& tile) {
  constexpr int kRows = 32 / kPieces;  // at once
  const int lane = threadIdx.x % 32, piece = lane % kPieces * 8, row = lane / kPieces;
  const int channel = threadIdx.x / 32 * kTileChannels + piece;
  const int step = tile.first - kReach + row, limit = channel < a.width ? a.length : 0;
  const scalar* from = a.x + row_of(a, tile.batch, step) * a.x_row + channel;
#pragma unroll
  for (int i = 0; i < kInputs; i += kRows) {
    if (i + kRows <= kInputs || i + row < kInputs)
      copy_piece(&of_warp.x[i + row][piece], from, step + i >= 0 && step + i < limit);
    from += kRows * (int)a.x_row;
  }
}
// Where the lanes have put it: the warp's tile of u, as it is in memory.
__device__ __forceinline__ void write_rows(const Memory& of_warp, const ProjectArgs& a, const Tile& tile) {
  constexpr int kRows = 32 / kPieces;
  const int lane = threadIdx.x % 32, piece = lane % kPieces * 8, row = lane / kPieces;
  const int channel = threadIdx.x / 32 * kTileChannels + piece, limit = channel < a.width ? a.length - tile.first : 0;
  scalar* to = a.y + row_of(a, tile.batch, tile.first + row) * a.y_row + channel;
#pragma unroll
  for (int i = 0; i < kTileSteps; i += kRows) {
    if (i + row < limit) *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(&of_warp.u[i + row][piece]);
    to += kRows * (int)a.y_row;
  }
}

// The warp's tile of u times its weights.
__device__ __forceinline__ void multiply(float (&sums)[kWide][4], const Memory& of_warp) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < kWide; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sums[n][i] = 0.0f;
#pragma unroll
  for (int k = 0; k < kDeep; k++) {
    u32 left[4];
    load_tiles(left, &of_warp.u[lane % 16][16 * k + lane / 16 * 8]);
#pragma unroll
    for (int n = 0; n < kWide; n += 2) {
      u32 right[4];
      const int column = 8 * n + lane / 16 * 8 + lane % 8, piece = 2 * k + lane / 8 % 2;
      load_tiles(right, &of_warp.weights[column][(piece ^ column % 8) * 8]);
      add_product(sums[n], left, right[0], right[1]), add_product(sums[n + 1], left, right[2], right[3]);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS) conv_project(const ProjectArgs a) {
  extern __shared__ __align__(128) unsigned char shared[];
  Memory* const memory = reinterpret_cast<Memory*>(shared);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  Memory& of_warp = memory[warp];
  const int steps = (a.length + kTileSteps - 1) / kTileSteps * kTileSteps;
  const int quotient = gridDim.x * kTileSteps / steps, rest = gridDim.x * kTileSteps % steps;
  Tile tile(steps);
  copy_rows(of_warp, a, tile);
  for (int i = lane; i < COLUMNS * kPieces; i += 32) {
    const int column = i / kPieces, piece = i % kPieces, channel = warp * kTileChannels + piece * 8;
    copy_piece(&of_warp.weights[column][(piece ^ column % 8) * 8], a.projection + (i64)column * a.width + channel,
               channel < a.width);
  }
  Filter f;
  f.read(a.weight, a.bias, 2 * threadIdx.x, a.channels);

  while (tile.batch < a.batch) {
    copies_wait();
    u32 x[kInputs];
#pragma unroll
    for (int i = 0; i < kInputs; i++) x[i] = *reinterpret_cast<const u32*>(&of_warp.x[i][2 * lane]);
    __syncwarp();
    const Tile next = tile.next(steps, quotient, rest);
    if (next.batch < a.batch) copy_rows(of_warp, a, next);
#pragma unroll
    for (int step = 0; step < kTileSteps; step++) {
      float result[2];
#pragma unroll
      for (int v = 0; v < 2; v++) {
        float sum = f.bias[v];
#pragma unroll
        for (int k = 0; k < TAPS; k++) sum += f.w[v][k] * (v ? high_of(x[step + k]) : low_of(x[step + k]));
        result[v] = SILU ? silu(sum) : sum;
      }
      *reinterpret_cast<u32*>(&of_warp.u[step][2 * lane]) = pair(result[0], result[1]);
    }
    __syncwarp();
    write_rows(of_warp, a, tile);
    float sums[kWide][4];
    multiply(sums, of_warp);
    __syncwarp();  // where sums come all have read u
#pragma unroll
    for (int n = 0; n < kWide; n++)
#pragma unroll
      for (int r = 0; r < 2; r++)
        *reinterpret_cast<float2*>(&of_warp.sums[g + 8 * r][sum_column(g, 8 * n + 2 * t)]) =
            make_float2(sums[n][2 * r], sums[n][2 * r + 1]);
    __syncthreads();
    scalar* projected = a.projected + ((i64)tile.batch * a.length + tile.first) * COLUMNS;
    constexpr int kPairs = kTileSteps * COLUMNS / 2;
#pragma unroll
    for (int j = 0; j < (kPairs + kThreads - 1) / kThreads; j++) {
      const int i = j * kThreads + threadIdx.x, row = i / (COLUMNS / 2), column = i % (COLUMNS / 2) * 2;
      if (kPairs % kThreads && i >= kPairs) break;
      float2 sum = make_float2(0.0f, 0.0f);
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        const float2 part = *reinterpret_cast<const float2*>(&memory[w].sums[row][sum_column(row, column)]);
        sum.x += part.x, sum.y += part.y;
      }
      if (tile.first + row < a.length) *reinterpret_cast<u32*>(projected + row * COLUMNS + column) = pair(sum.x, sum.y);
    }
    tile = next;
    __syncthreads();
  }
}
