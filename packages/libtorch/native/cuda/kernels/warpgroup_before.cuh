// What the kernels over rows of MODEL numbers share: units of weights that one warpgroup copies into a ring in shared
// memory and others multiply by, and rows of tokens.
//
// Columns are permuted within each 32, so that the 8 numbers that a lane holds of them are neighbours in memory: number
// 8 j + 2 t + b of a product is column 32 (j / 4) + 8 t + 2 (j % 4) + b.
//
// Defined by the caller: MODEL (128 or 192), GROUPS (warpgroups that multiply, 1 or 2), STAGES (units in shared
// memory), and SCALAR, of 16 bits.
#pragma once
#include "fused_mlp_interface.h"
#include "pairs.cuh"
#include "wgmma_before.cuh"

namespace mlp = mamba_prune::cuda::mlp_kernel;

using Units = Ring<mlp::unit_bytes(MODEL)>;

constexpr int kUnit = mlp::number_bytes(MODEL);
constexpr int kStride = mlp::unit_bytes(MODEL);
constexpr int kBlocks = MODEL / 8;  // columns of MODEL, 8 at a time
constexpr int kSteps = MODEL / 16;  // products of 16 along MODEL

__device__ __forceinline__ void copy_unit(u32 to, const unsigned char* from, u32 barrier) {
  constexpr u32 kBytes = kUnit + mlp::kBiasBytes;
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

__device__ __forceinline__ void apart(float (&v)[8], const uint4& from) {
  const u32 parts[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int p = 0; p < 4; p++) v[2 * p] = low_of(parts[p]), v[2 * p + 1] = high_of(parts[p]);
}
// In one instruction: NVRTC may make four stores of 4 bytes of an assignment, which write each sector four times in
// part.
__device__ __forceinline__ void store16(scalar* to, u32 a, u32 b, u32 c, u32 d) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
// A lane's two rows: 8 numbers of every 32 columns of each, `i` counting the 32s.
struct Rows {
  int first, rows;
  __device__ __forceinline__ i64 place(int which, int i, int width) const {
    const int column = 32 * i + 8 * (threadIdx.x & 3);
    return first + 8 * which < rows && column < width ? (i64)(first + 8 * which) * width + column : -1;
  }
  __device__ __forceinline__ uint4 read(const scalar* from, int which, int i, int width = MODEL) const {
    const i64 at = place(which, i, width);
    return at < 0 ? uint4{0, 0, 0, 0} : *reinterpret_cast<const uint4*>(from + at);
  }
  __device__ __forceinline__ void take(float (&v)[8], const scalar* from, int which, int i) const {
    apart(v, read(from, which, i));
  }
  // Has the L2 cache take rows of MODEL numbers that are read soon: a lane asks for 128 bytes of each.
  __device__ __forceinline__ void announce(const scalar* from) const {
    constexpr int kLine = 64;
    static_assert(MODEL % kLine == 0 && MODEL / kLine <= 4, "four lanes ask for a row");
    const int column = kLine * (threadIdx.x & 3);
    if (column >= MODEL) return;
#pragma unroll
    for (int r = 0; r < 2; r++)
      if (first + 8 * r < rows)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + (i64)(first + 8 * r) * MODEL + column));
  }
  // v: results of a product, from the first of the 32 columns on.
  __device__ __forceinline__ void write(scalar* to, int which, int i, int width, const float* v) const {
    const i64 at = place(which, i, width);
    v += 2 * which;
    if (at >= 0) store16(to + at, pair(v[0], v[1]), pair(v[4], v[5]), pair(v[8], v[9]), pair(v[12], v[13]));
  }
};

__device__ __forceinline__ float row_sum(float v) {
  v += __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}

// The warpgroup that copies: all units for each of its block's tiles.
__device__ __forceinline__ void copy_units(const unsigned char* from, Units ring, int tiles, int units) {
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    for (int u = 0; u < units; u++) {
      barrier_wait(ring.empty + 8 * ring.stage, ring.parity ^ 1);
      copy_unit(ring.base + ring.stage * kStride, from + (i64)u * kStride, ring.full + 8 * ring.stage);
      ring.step();
    }
}

// Rows of x as a product would leave them.
__device__ __forceinline__ void read_rows(float (&v)[4 * kBlocks], const scalar* from, const Rows& rows) {
  uint4 x[2][MODEL / 32];
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) x[r][i] = rows.read(from, r, i);
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const u32 parts[4] = {x[r][i].x, x[r][i].y, x[r][i].z, x[r][i].w};
#pragma unroll
      for (int p = 0; p < 4; p++) {
        scalar low, high;
        low.bits = (u16)(parts[p] & 0xffff), high.bits = (u16)(parts[p] >> 16);
        v[16 * i + 4 * p + 2 * r] = up(low), v[16 * i + 4 * p + 2 * r + 1] = up(high);
      }
    }
}

// The 8 of `values`, one for each column, that a lane has of the 32 columns `i`.
struct Columns {
  float v[8];
  __device__ __forceinline__ Columns(const float* values, int i) {
    const float4* from = reinterpret_cast<const float4*>(values + 32 * i + 8 * (threadIdx.x & 3));
    const float4 a = from[0], b = from[1];
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
  }
};
__device__ __forceinline__ void add_columns(float (&acc)[4 * kBlocks], const float* values) {
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++) {
    const Columns c(values, i);
#pragma unroll
    for (int p = 0; p < 4; p++)
#pragma unroll
      for (int k = 0; k < 4; k++) acc[16 * i + 4 * p + k] += c.v[2 * p + (k & 1)];
  }
}

// The ring at the first address of dynamic shared memory where a unit may lie; `barriers` are 2 STAGES of 8 bytes.
__device__ __forceinline__ Units start_ring(unsigned char* memory, u64* barriers) {
  Units ring;
  ring.base = (address_of(memory) + mlp::kAlignment - 1) & ~(mlp::kAlignment - 1u);
  ring.full = address_of(barriers), ring.empty = ring.full + 8 * STAGES;
  ring.stage = 0, ring.parity = 0;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++) barrier_init(ring.full + 8 * i, 1), barrier_init(ring.empty + 8 * i, 4 * GROUPS);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  return ring;
}

// acc += fc2(gelu(fc1(left))), 64 neurons at a time: two units of the ring, of which multiply_second takes the one of
// fc2. That product ends beside the next one of fc1, whose results are in `sum`.
template <class Second> __device__ __forceinline__ void add_mlp(float (&acc)[4 * kBlocks], float (&sum)[32],
                                                                u32 (&left)[kSteps][4], Units& ring, int neuron_units,
                                                                Second multiply_second) {
  u32 hidden[4][4];
  u32 before = 0;
  for (int c = 0; c < neuron_units; c++) {
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
    multiply_second(acc, hidden, second);
    products_end();
    ring.step();
  }
  products_wait<0>();
  keep(acc);
  ring.release(before);
}
