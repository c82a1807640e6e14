// What kernels that multiply by warpgroups share: units of weights that one warpgroup copies into a ring in shared memory
// and others multiply by with Hopper's wgmma (PTX ISA, "Asynchronous warpgroup level matrix"), and rows of tokens.
//
// Columns are permuted within each 32, so that the 8 numbers that a lane holds of them are neighbours in memory: number
// 8 j + 2 t + b of a product is column 32 (j / 4) + 8 t + 2 (j % 4) + b.
//
// Defined by the caller: MODEL (128 or 192), GROUPS (warpgroups that multiply, 1 or 2), STAGES (units in shared
// memory), and SCALAR, of 16 bits.
#pragma once
#include "fused_mlp_interface.h"

namespace mlp = mamba_prune::cuda::mlp_kernel;

constexpr int kUnit = mlp::number_bytes(MODEL);
constexpr int kStride = mlp::unit_bytes(MODEL);
constexpr int kBlocks = MODEL / 8;  // columns of MODEL, 8 at a time
constexpr int kSteps = MODEL / 16;  // products of 16 along MODEL

__device__ __forceinline__ u32 address_of(const void* shared) { return (u32)__cvta_generic_to_shared(shared); }

// Barriers in shared memory: "full" counts the bytes of a unit, "empty" the warps that are through with it.
__device__ __forceinline__ void barrier_init(u32 barrier, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count));
}
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
  u32 done;
  do {
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done)
                 : "r"(barrier), "r"(parity)
                 : "memory");
  } while (!done);
}
__device__ __forceinline__ void barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ __forceinline__ void copy_unit(u32 to, const unsigned char* from, u32 barrier) {
  constexpr u32 kBytes = kUnit + mlp::kBiasBytes;
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(kBytes) : "memory");
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(kBytes), "r"(barrier)
               : "memory");
}

// The place in the ring of units; every warp goes through the same sequence.
struct Ring {
  u32 base, full, empty;
  u32 stage, parity;
  __device__ __forceinline__ void step() {
    if (++stage == STAGES) stage = 0, parity ^= 1;
  }
  __device__ __forceinline__ u32 acquire() const {
    barrier_wait(full + 8 * stage, parity);
    return base + stage * kStride;
  }
  // Every lane is through with unit `at`.
  __device__ __forceinline__ void release(u32 at) const {
    __syncwarp();
    if ((threadIdx.x & 31) == 0) barrier_arrive(empty + 8 * at);
  }
};

#define REGISTERS8(a, i)                                                                                      \
  "+f"(a[i]), "+f"(a[i + 1]), "+f"(a[i + 2]), "+f"(a[i + 3]), "+f"(a[i + 4]), "+f"(a[i + 5]), "+f"(a[i + 6]), \
      "+f"(a[i + 7])
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define WGMMA_TYPES "f32.bf16.bf16"
#else
#define WGMMA_TYPES "f32.f16.f16"
#endif
#define SUM32                                                                                                   \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31}"
// sum [64, 64] = left [64, 16] right^T (+ sum). right lies in shared memory, where the descriptor tells: 64 rows of 16
// numbers, or Transposed 16 rows of 64.
template <int Transposed = 0>
__device__ __forceinline__ void multiply(float* sum, const u32 (&left)[4], u64 right, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %37, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " " SUM32
               ", {%32, %33, %34, %35}, %36, p, 1, 1, %38; }\n"
               : REGISTERS8(sum, 0), REGISTERS8(sum, 8), REGISTERS8(sum, 16), REGISTERS8(sum, 24)
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(add), "n"(Transposed));
}
// The same with left in shared memory too, 64 rows of 16 numbers.
__device__ __forceinline__ void multiply_shared(float* sum, u64 left, u64 right, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
               "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " " SUM32 ", %32, %33, p, 1, 1, 0, 0; }\n"
               : REGISTERS8(sum, 0), REGISTERS8(sum, 8), REGISTERS8(sum, 16), REGISTERS8(sum, 24)
               : "l"(left), "l"(right), "r"(add));
}
__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_end() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Left> __device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Left) : "memory");
}
template <int Count> __device__ __forceinline__ void keep(float (&v)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) asm volatile("" : "+f"(v[i])::"memory");
}
template <int Steps> __device__ __forceinline__ void keep(u32 (&v)[Steps][4]) {
#pragma unroll
  for (int k = 0; k < Steps; k++)
#pragma unroll
    for (int i = 0; i < 4; i++) asm volatile("" : "+r"(v[k][i])::"memory");
}
// Rows of 64 numbers (128 bytes), swizzled over 8 of them; the next 16 numbers of a row are 32 bytes on.
__device__ __forceinline__ u64 descriptor(u32 at) {
  return (1ull << 62) | (64ull << 32) | (1ull << 16) | ((at & 0x3ffff) >> 4);
}

// A unit of MODEL rows times 64 columns: acc [64, MODEL] += left [64, 64] unit^T.
__device__ __forceinline__ void multiply_wide(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int n = 0; n < MODEL / 64; n++) multiply(acc + 32 * n, left[k], descriptor(unit + n * 64 * 128) + 2 * k, 1);
}
// A unit of 64 rows times MODEL columns: sum [64, 64] = left [64, MODEL] unit^T.
__device__ __forceinline__ void multiply_tall(float (&sum)[32], const u32 (&left)[kSteps][4], u32 unit) {
#pragma unroll
  for (int k = 0; k < kSteps; k++) multiply(sum, left[k], descriptor(unit + (k / 4) * 64 * 128) + 2 * (k % 4), k > 0);
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

__device__ __forceinline__ u32 pair(float low, float high) {
  u32 r;
#if SCALAR == MAMBA_PRUNE_BFLOAT16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
#endif
  return r;
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

__device__ __forceinline__ void apart(float (&v)[8], const uint4& from) {
  const u32 parts[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int p = 0; p < 4; p++) {
    scalar low, high;
    low.bits = (u16)(parts[p] & 0xffff), high.bits = (u16)(parts[p] >> 16);
    v[2 * p] = up(low), v[2 * p + 1] = up(high);
  }
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
  __device__ __forceinline__ void take(float (&v)[8], const scalar* from, int which, int i) const {
    apart(v, read(from, which, i));
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

// The warpgroup that copies: all units for each of its block's tiles.
__device__ __forceinline__ void copy_units(const unsigned char* from, Ring ring, int tiles, int units) {
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
__device__ __forceinline__ Ring start_ring(unsigned char* memory, u64* barriers) {
  Ring ring;
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
