// For inference: RMSNorm of a residual stream in float32 and in_proj of the result, which never leaves the registers:
// it is rounded to 16 bits there, as the normalisation alone would write it.
//
// A warpgroup owns 64 tokens, as in fused_mlp.cu, and its lanes hold them as wgmma wants its left operand. One more
// warpgroup copies the weights, 64 rows at a time, to where wgmma reads them. Their rows are permuted on the way, so
// that the 8 numbers that a lane holds of 32 columns are neighbours in memory: number 8 j + 2 t + b of a product is
// column 32 (j / 4) + 8 t + 2 (j % 4) + b.
//
// Defined by the caller: MODEL (128 or 192), GROUPS (warpgroups that compute, 1 to 3), STAGES (units in shared
// memory, more than kAhead), and SCALAR, of 16 bits.
#include "norm_in_proj_interface.h"
#include "pairs.cuh"
#include "wgmma.cuh"

using namespace mamba_prune::cuda::in_proj_kernel;
using Args = InProjArgs<scalar>;
using Units = Ring<unit_bytes(MODEL)>;

constexpr int kSteps = MODEL / 16;   // products of 16 along MODEL
constexpr int kPieces = MODEL / 8;   // of 16 bytes, of a row
constexpr int kPanel = kTile * 128;  // bytes of 64 columns of a unit

__device__ __forceinline__ int column_of(int number) {
  return number / 32 * 32 + number % 8 / 2 * 8 + number / 8 % 4 * 2 + number % 2;
}

// Rows from `first` on, swizzled over 8 of them; those behind the last are zeros.
__device__ __forceinline__ void copy_unit(u32 to, const Args& a, int first) {
#pragma unroll 2
  for (int i0 = 0; i0 < kTile * kPieces; i0 += kWarpgroup) {
    const int i = i0 + threadIdx.x % kWarpgroup, row = i / kPieces, piece = i % kPieces,
              column = first + column_of(row);
    const scalar* from = a.weight + (i64)min(column, a.columns - 1) * MODEL + piece * 8;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + piece / 8 * kPanel + row * 128 +
                                                                       (piece % 8 ^ row % 8) * 16),
                 "l"(from), "r"(column < a.columns ? 16 : 0)
                 : "memory");
  }
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int Left> __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Left) : "memory");
}

__device__ __forceinline__ void copy_units(const Args& a, Units ring, int tiles, int units) {
  Units arriving = ring;
  const auto arrived = [&] {
    // What this thread wrote is there for wgmma, which reads past the caches that ordinary instructions go through.
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    barrier_arrive(arriving.full + 8 * arriving.stage);
    arriving.step();
  };
  int under_way = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    for (int u = 0; u < units; u++) {
      barrier_wait(ring.empty + 8 * ring.stage, ring.parity ^ 1);
      copy_unit(ring.base + ring.stage * unit_bytes(MODEL), a, u * kTile);
      ring.step();
      if (++under_way > kAhead) copies_wait<kAhead>(), arrived(), under_way--;
    }
  copies_wait<0>();
  for (; under_way > 0; under_way--) arrived();
}

__device__ __forceinline__ float row_sum(float v) {
  v += __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}

// Two rows of a lane, `row` and 8 behind it: numbers 2 q, 2 q + 1 and those + 8 of every 16.
__device__ __forceinline__ void normalized(u32 (&left)[kSteps][4], const Args& a, int row) {
  const int quarter = threadIdx.x & 3;
  float2 x[kSteps][4];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      const int r = row + i % 2 * 8;
      const float* from = a.x + (i64)r * MODEL + 16 * k + i / 2 * 8 + 2 * quarter;
      x[k][i] = r < a.rows ? __ldg(reinterpret_cast<const float2*>(from)) : float2{0.0f, 0.0f};
    }
  float scale[2] = {0.0f, 0.0f};
#pragma unroll
  for (int k = 0; k < kSteps; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) scale[i % 2] += x[k][i].x * x[k][i].x + x[k][i].y * x[k][i].y;
#pragma unroll
  for (int r = 0; r < 2; r++) scale[r] = rsqrtf(row_sum(scale[r]) * (1.0f / MODEL) + a.eps);
#pragma unroll
  for (int k = 0; k < kSteps; k++)
#pragma unroll
    for (int j = 0; j < 2; j++) {
      const float2 w = __ldg(reinterpret_cast<const float2*>(a.norm + 16 * k + 8 * j + 2 * quarter));
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float2 v = x[k][2 * j + r];
        left[k][2 * j + r] = pair(v.x * scale[r] * w.x, v.y * scale[r] * w.y);
      }
    }
}

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) norm_in_proj(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring;
  ring.base = (address_of(memory) + kAlignment - 1) & ~(kAlignment - 1u);
  ring.full = address_of(barriers), ring.empty = ring.full + 8 * STAGES;
  ring.stage = 0, ring.parity = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++)
      barrier_init(ring.full + 8 * i, kWarpgroup), barrier_init(ring.empty + 8 * i, 4 * GROUPS);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const int tiles = (a.rows + kTile * GROUPS - 1) / (kTile * GROUPS), units = (a.columns + kTile - 1) / kTile;
  if (threadIdx.x >= GROUPS * kWarpgroup) {
#if GROUPS > 1
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(GROUPS == 3 ? 32 : 40));
#endif
    copy_units(a, ring, tiles, units);
    return;
  }
#if GROUPS > 1
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(GROUPS == 3 ? 160 : 232));
#endif
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int row = tile * kTile * GROUPS + threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4;
    u32 left[kSteps][4];
    normalized(left, a, row);
    for (int u = 0; u < units; u++) {
      float sum[32];
      multiply_next(sum, left, ring);
#pragma unroll
      for (int i = 0; i < 2; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
          const int column = u * kTile + 32 * i + 8 * (threadIdx.x & 3);
          const float* v = sum + 16 * i + 2 * r;
          if (row + 8 * r < a.rows && column < a.columns)
            *reinterpret_cast<uint4*>(a.out + (i64)(row + 8 * r) * a.columns + column) =
                uint4{pair(v[0], v[1]), pair(v[4], v[5]), pair(v[8], v[9]), pair(v[12], v[13])};
        }
    }
  }
}
