// The two narrow products in front of the selective scan in one kernel each way: x_proj gives step sizes of low rank, B
// and C of every token, and dt_proj the step sizes of all channels. Backward the gradients of B and C come as partial
// sums, and the gradient of u is added to, unless the convolution's backward pass does that (conv.cu).
//
// A warpgroup owns 64 tokens. All weights lie in shared memory, in panels of 64 channels: rows of 128 bytes, one for
// each column of x_proj's result, or for each of dt_proj's rank. Products over channels read a panel as it is, products
// into channels read it transposed. Channels are permuted as warpgroup.cuh says.
//
// Defined by the caller: what warpgroup.cuh says, though there is no ring, and USES_X (whether x_proj is multiplied by:
// forward, and backward where the gradient of u is added to).
#include "projections_interface.h"
#include "norm_tile.cuh"

using namespace mamba_prune::cuda::proj_kernel;
using Args = ProjArgs<scalar>;

// Of a panel's number `i` its row and its channel.
extern "C" __global__ void __launch_bounds__(kPackThreads) proj_pack(const PackArgs<scalar> a) {
  const int i = blockIdx.x * kPackThreads + threadIdx.x, first = a.count * kColumns * kTile;
  if (i >= a.count * (kColumns + kRank) * kTile) return;
  const bool dt = i >= first;
  const int rows = dt ? kRank : kColumns, at = dt ? i - first : i;
  const int panel = at / (rows * kTile), row = at / kTile % rows, place = at % kTile;
  const int channel = panel * kTile + column_of(((place / 8) ^ (row % 8)) * 8 + place % 8);
  scalar value{};
  if (channel < a.width) value = dt ? a.dt_proj[(i64)channel * kRank + row] : a.x_proj[(i64)row * a.width + channel];
  a.panels[i] = value;
}

// sum [64, 48] or [64, 16] = left [64, 16] right^T (+ sum).
__device__ __forceinline__ void multiply_narrow(float (&sum)[24], const u32 (&left)[4], u64 right, int add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %29, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n48k16." WGMMA_TYPES
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
      "%22, %23}, {%24, %25, %26, %27}, %28, p, 1, 1, 0; }\n"
      : REGISTERS8(sum, 0), REGISTERS8(sum, 8), REGISTERS8(sum, 16)
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(add));
}
__device__ __forceinline__ void multiply_narrow(float (&sum)[8], const u32 (&left)[4], u64 right, int add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %13, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n16k16." WGMMA_TYPES
      " {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11}, %12, p, 1, 1, 0; }\n"
      : REGISTERS8(sum, 0)
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(add));
}

constexpr int kDeep = 3;  // panels of the left operand that are on their way

// 16 bytes of a row of a tile, each. Rows that are not there are the last one, and numbers behind a row's end those at
// its end: the former's results are not written, and of the latter's channels the weights are zero. So no load has a
// condition, and none waits for the one before it.
struct Reader {
  const scalar* from[2];
  int most;
  __device__ __forceinline__ Reader(const scalar* data, const Rows& rows, int width) : most(width - 8) {
#pragma unroll
    for (int r = 0; r < 2; r++) from[r] = data + (i64)min(rows.first + 8 * r, rows.rows - 1) * width;
  }
  // The halves of a panel.
  __device__ __forceinline__ void read(uint4 (&to)[2][2], int panel) const {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int column = min(64 * panel + 32 * i + 8 * (int)(threadIdx.x & 3), most);
#pragma unroll
      for (int r = 0; r < 2; r++) to[i][r] = *reinterpret_cast<const uint4*>(from[r] + column);
    }
  }
};

// sum = the rows of `from` times all panels. The first rows are on their way before `ready` is called, which returns
// when the panels are there.
template <int Count, class Ready>
__device__ __forceinline__ void multiply_channels(float (&sum)[Count], const scalar* from, const Args& a,
                                                  const Rows& rows, u32 panels, int bytes, const Ready& ready) {
  const Reader reader(from, rows, a.width);
  uint4 next[kDeep][2][2];
#pragma unroll
  for (int j = 0; j < kDeep; j++) reader.read(next[j], j);
#pragma unroll
  for (int i = 0; i < Count; i++) sum[i] = 0.0f;
  ready();
  keep(sum);
  u32 left[4][4];
  for (int c0 = 0; c0 < a.panel_count; c0 += kDeep) {
#pragma unroll
    for (int j = 0; j < kDeep; j++) {
      const int c = c0 + j;
      if (c >= a.panel_count) break;
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const uint4& v = next[j][i][r];
          left[2 * i][r] = v.x, left[2 * i][2 + r] = v.y, left[2 * i + 1][r] = v.z, left[2 * i + 1][2 + r] = v.w;
        }
      keep(left);
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; k++) multiply_narrow(sum, left[k], descriptor(panels + c * bytes) + 2 * k, 1);
      products_end();
      products_wait<0>();
      keep(sum), keep(left);
      // Not before: a load into registers that a product still reads would make ptxas wait for each product.
      reader.read(next[j], c + kDeep);
    }
  }
}

__device__ __forceinline__ void write_pair(scalar* to, const Rows& rows, int r, int j, u32 value) {
  const i64 row = rows.first + 8 * r;
  if (row < rows.rows) *reinterpret_cast<u32*>(to + row * kColumns + 8 * j + 2 * (threadIdx.x & 3)) = value;
}

// Where the panels begin. They are on their way while the first rows are asked for.
struct Weights {
  u32 x, dt;
  bool there;
  __device__ __forceinline__ Weights(const Args& a, unsigned char* memory) : there(false) {
    // Those of x_proj come first.
    const int before_dt = a.panel_count * kColumns * kRowBytes, skipped = USES_X ? 0 : before_dt;
    x = (address_of(memory) + kAlignment - 1) & ~(kAlignment - 1u);
    dt = x + before_dt - skipped;
    const int bytes = panel_bytes(a.panel_count) - skipped;
    for (int i = threadIdx.x * 16; i < bytes; i += kThreads * 16)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(x + i), "l"(a.panels + skipped + i) : "memory");
  }
  // Every thread of the block calls it, before its first product or at the end.
  __device__ __forceinline__ void wait() {
    if (there) return;
    there = true;
    asm volatile("cp.async.wait_all;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
  }
};
// Has the L2 cache take rows that are read soon.
__device__ __forceinline__ void announce(const scalar* from, const Rows& rows, int width) {
#pragma unroll
  for (int r = 0; r < 2; r++)
    if (rows.first + 8 * r < rows.rows)
      for (int column = kTile * (threadIdx.x & 3); column < width; column += 4 * kTile)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + (i64)(rows.first + 8 * r) * width + column));
}
template <class Work> __device__ __forceinline__ void for_tiles(const Args& a, const Work& work) {
  const int row = (threadIdx.x & 127) / 32 * 16 + (threadIdx.x & 31) / 4, tiles = (a.rows + kTile - 1) / kTile;
  for (int tile = blockIdx.x * mamba_prune::cuda::proj_kernel::kGroups + threadIdx.x / 128; tile < tiles;
       tile += gridDim.x * mamba_prune::cuda::proj_kernel::kGroups)
    work(Rows{tile * kTile + row, a.rows});
}

extern "C" __global__ void __launch_bounds__(kThreads, kResident) proj_forward(const Args a) {
  extern __shared__ unsigned char memory[];
  Weights w(a, memory);
  for_tiles(a, [&](const Rows& rows) {
    announce(a.u, rows, a.width);
    float p[kColumns / 2];
    multiply_channels(p, a.u, a, rows, w.x, kColumns * kRowBytes, [&] { w.wait(); });
    u32 left[1][4];
#pragma unroll
    for (int j = 0; j < kColumns / 8; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const u32 v = pair(p[4 * j + 2 * r], p[4 * j + 2 * r + 1]);
        if (j < 2) left[0][2 * j + r] = v;
        write_pair(a.projected, rows, r, j, v);
      }
    keep(left);
    for (int c = 0; c < a.panel_count; c++) {
      float sum[32];
      keep(sum);
      products_begin();
      multiply<1>(sum, left[0], descriptor(w.dt + c * kRank * kRowBytes), 0);
      products_end();
      products_wait<0>();
      keep(sum), keep(left);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) rows.write(a.delta, r, 2 * c + i, a.width, sum + 16 * i);
    }
  });
  w.wait();
}

// The gradients of B and C: a lane's numbers of its two rows, summed over the blocks of the scan.
__device__ __forceinline__ void sum_states(float (&sum)[kStates], const Args& a, const Rows& rows) {
#pragma unroll
  for (int i = 0; i < kStates; i++) sum[i] = 0.0f;
#pragma unroll 3
  for (int b = 0; b < a.blocks; b++)
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const i64 row = min(rows.first + 8 * r, a.rows - 1);
        const float2 v = *reinterpret_cast<const float2*>(a.states + ((i64)b * a.rows + row) * (2 * kStates) + 8 * j +
                                                          2 * (threadIdx.x & 3));
        sum[4 * j + 2 * r] += v.x, sum[4 * j + 2 * r + 1] += v.y;
      }
}

extern "C" __global__ void __launch_bounds__(kThreads, kResident) proj_backward(const Args a) {
  extern __shared__ unsigned char memory[];
  Weights w(a, memory);
  for_tiles(a, [&](const Rows& rows) {
    announce(a.delta, rows, a.width);
    float p[kRank / 2], bc[kStates];
    // What is announced is read next: all blocks together announce as much as the L2 cache holds, and rows that wait
    // for others there are driven out and read twice.
    multiply_channels(p, a.delta, a, rows, w.dt, kRank * kRowBytes, [&] { w.wait(); });
    if (USES_X) announce(a.du, rows, a.width);
    sum_states(bc, a, rows);
    u32 left[3][4];
#pragma unroll
    for (int j = 0; j < kColumns / 8; j++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const u32 v = j < 2 ? pair(p[4 * j + 2 * r], p[4 * j + 2 * r + 1])
                            : pair(bc[4 * (j - 2) + 2 * r], bc[4 * (j - 2) + 2 * r + 1]);
        left[j / 2][j % 2 * 2 + r] = v;
        write_pair(a.projected, rows, r, j, v);
      }
    if (!USES_X) return;
    keep(left);
    const Reader reader(a.du, rows, a.width);
    uint4 next[2][2];
    reader.read(next, 0);
    for (int c = 0; c < a.panel_count; c++) {
      uint4 du[2][2];
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) du[i][r] = next[i][r];
      reader.read(next, c + 1);
      float sum[32];
      keep(sum);
      products_begin();
#pragma unroll
      for (int k = 0; k < 3; k++)
        multiply<1>(sum, left[k], descriptor(w.x + c * kColumns * kRowBytes + k * 16 * kRowBytes), k > 0);
      products_end();
      products_wait<0>();
      keep(sum), keep(left);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
          float v[8];
          apart(v, du[i][r]);
#pragma unroll
          for (int k = 0; k < 8; k++) sum[16 * i + k / 2 * 4 + 2 * r + k % 2] += v[k];
          rows.write(a.du, r, 2 * c + i, a.width, sum + 16 * i);
        }
    }
  });
  w.wait();
}
