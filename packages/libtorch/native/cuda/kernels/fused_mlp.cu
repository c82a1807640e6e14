// For inference: the MLP branch of a block, the next block's layer normalisation and its in-projection in one kernel.
// Hidden neurons and normalised tokens never leave the registers, so that memory sees x once, out once and the next
// block's input.
//
// A warpgroup owns 64 tokens. A product's result lies in its registers just as the next product wants its left operand,
// so only weights go through shared memory: one more warpgroup copies them there, in units of 64 x MODEL numbers, in
// the order of their use. Hopper's wgmma (compute capability 9.0 alone) multiplies; PTX ISA, "Asynchronous warpgroup
// level matrix".
//
// Columns are permuted within each 32, so that the 8 numbers that a lane holds of them are neighbours in memory: number
// 8 j + 2 t + b of a product is column 32 (j / 4) + 8 t + 2 (j % 4) + b. fused_mlp.cc packs the weights in that order.
//
// Defined by the caller: MODEL (128 or 192), NEXT (0 or 1), GROUPS (warpgroups, 1 or 2), STAGES (units in shared
// memory), and SCALAR, of 16 bits. For MODEL 64 ptxas of CUDA 13.0 gives `left` and `hidden` the same registers, and
// results are wrong.
#include "fused_mlp_interface.h"
#include "pairs.cuh"
#include "wgmma.cuh"

using namespace mamba_prune::cuda::mlp_kernel;
using Args = MlpArgs<scalar>;
using Units = Ring<unit_bytes(MODEL)>;

constexpr int kUnit = number_bytes(MODEL);
constexpr int kStride = unit_bytes(MODEL);
constexpr int kBlocks = MODEL / 8;  // columns of MODEL, 8 at a time
constexpr int kSteps = MODEL / 16;  // products of 16 along MODEL

__device__ __forceinline__ void copy_unit(u32 to, const unsigned char* from, u32 barrier) {
  constexpr u32 kBytes = kUnit + kBiasBytes;
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(kBytes) : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(kBytes), "r"(barrier)
               : "memory");
}

// A unit of MODEL rows times 64 columns: acc [64, MODEL] += left [64, 64] unit^T.
__device__ __forceinline__ void multiply_wide(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int n = 0; n < MODEL / 64; n++) multiply(acc + 32 * n, left[k], descriptor(unit + n * 64 * 128) + 2 * k, 1);
}
// The 64 floats behind the weights of a tall unit.
__device__ __forceinline__ void add_bias(float (&sum)[32], u32 unit) {
#pragma unroll
  for (int j = 0; j < 8; j++) {
    float b0, b1;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                 : "=f"(b0), "=f"(b1)
                 : "r"(unit + kUnit + 32 * j + 8 * (threadIdx.x & 3)));
    sum[4 * j] += b0, sum[4 * j + 1] += b1, sum[4 * j + 2] += b0, sum[4 * j + 3] += b1;
  }
}

// The results of a product as the left operand of the next.
template <int Steps> __device__ __forceinline__ void to_left(u32 (&left)[Steps][4], const float (&v)[8 * Steps]) {
#pragma unroll
  for (int k = 0; k < Steps; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) left[k][i] = pair(v[8 * k + 2 * i], v[8 * k + 2 * i + 1]);
}
// tanh form: 0.5 v (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))).
__device__ __forceinline__ float gelu(float v) {
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(v * (0.7978845608f + 0.0356774081f * v * v)));
  const float half = 0.5f * v;
  return half * t + half;
}

// A lane's two rows: 8 numbers of every 32 columns of each, `i` counting the 32s.
struct Rows {
  int first, rows;
  __device__ __forceinline__ i64 place(int which, int i, int width) const {
    const int column = 32 * i + 8 * (threadIdx.x & 3);
    return first + 8 * which < rows && column < width ? (i64)(first + 8 * which) * width + column : -1;
  }
  __device__ __forceinline__ uint4 read(const scalar* from, int which, int i) const {
    const i64 at = place(which, i, MODEL);
    return at < 0 ? uint4{0, 0, 0, 0} : *reinterpret_cast<const uint4*>(from + at);
  }
  // v: results of a product, from the first of the 32 columns on.
  __device__ __forceinline__ void write(scalar* to, int which, int i, int width, const float* v) const {
    const i64 at = place(which, i, width);
    v += 2 * which;
    if (at >= 0)
      *reinterpret_cast<uint4*>(to + at) =
          uint4{pair(v[0], v[1]), pair(v[4], v[5]), pair(v[8], v[9]), pair(v[12], v[13])};
  }
};

__device__ __forceinline__ float row_sum(float v) {
  v += __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}
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

__device__ __forceinline__ void copy_units(const Args& a, Units ring, int tiles, int units) {
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    for (int u = 0; u < units; u++) {
      barrier_wait(ring.empty + 8 * ring.stage, ring.parity ^ 1);
      copy_unit(ring.base + ring.stage * kStride, a.units + (i64)u * kStride, ring.full + 8 * ring.stage);
      ring.step();
    }
}

__device__ __forceinline__ void mlp_tile(const Args& a, Units& ring, const Rows& rows) {
  float acc[4 * kBlocks];
  {
    uint4 x[2][MODEL / 32];
#pragma unroll
    for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) x[r][i] = rows.read(a.x, r, i);
#pragma unroll
    for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const u32 parts[4] = {x[r][i].x, x[r][i].y, x[r][i].z, x[r][i].w};
#pragma unroll
        for (int p = 0; p < 4; p++) {
          scalar low, high;
          low.bits = (u16)(parts[p] & 0xffff), high.bits = (u16)(parts[p] >> 16);
          acc[16 * i + 4 * p + 2 * r] = up(low), acc[16 * i + 4 * p + 2 * r + 1] = up(high);
        }
      }
  }

  u32 left[kSteps][4];
  normalized(left, acc, a.eps);
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++) {
    const float4* bias = reinterpret_cast<const float4*>(a.bias + 32 * i + 8 * (threadIdx.x & 3));
    const float4 b0 = bias[0], b1 = bias[1];
    const float b[8] = {b0.x, b0.y, b0.z, b0.w, b1.x, b1.y, b1.z, b1.w};
#pragma unroll
    for (int p = 0; p < 4; p++)
#pragma unroll
      for (int k = 0; k < 4; k++) acc[16 * i + 4 * p + k] += b[2 * p + (k & 1)];
  }
  keep(acc);

  float sum[32];
  u32 hidden[4][4];
  u32 before = 0;
  for (int c = 0; c < a.neuron_units; c++) {
    const u32 unit = ring.acquire(), stage = ring.stage;
    keep(sum), keep(left);
    products_begin();
    multiply_tall(sum, left, unit);
    products_end();
    ring.step();
    products_wait<0>();
    keep(sum), keep(left);
    if (c > 0) ring.release(before);
    add_bias(sum, unit);
#pragma unroll
    for (int i = 0; i < 32; i++) sum[i] = gelu(sum[i]);
    to_left(hidden, sum);
    ring.release(stage);
    const u32 second = ring.acquire();
    before = ring.stage;
    products_begin();
    multiply_wide(acc, hidden, second);
    products_end();
    ring.step();
  }
  products_wait<0>();
  keep(acc);
  ring.release(before);
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

extern "C" __global__ void __launch_bounds__(threads_of(GROUPS), 1) fused_mlp(const Args a) {
  extern __shared__ unsigned char memory[];
  __shared__ u64 barriers[2 * STAGES];
  Units ring;
  ring.base = (address_of(memory) + kAlignment - 1) & ~(kAlignment - 1u);
  ring.full = address_of(barriers), ring.empty = ring.full + 8 * STAGES;
  ring.stage = 0, ring.parity = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) barrier_init(ring.full + 8 * i, 1), barrier_init(ring.empty + 8 * i, 4 * GROUPS);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  const int tiles = (a.rows + kTile * GROUPS - 1) / (kTile * GROUPS);
  if (threadIdx.x >= GROUPS * kWarpgroup) {
#if GROUPS == 2
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
#endif
    if (threadIdx.x == GROUPS * kWarpgroup) copy_units(a, ring, tiles, 2 * a.neuron_units + a.next_units);
    return;
  }
#if GROUPS == 2
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
#endif
  const int row = threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) mlp_tile(a, ring, {tile * kTile * GROUPS + row, a.rows});
}
