// Products by Hopper's wgmma (compute capability 9.0 alone; PTX ISA, "Asynchronous warpgroup level matrix"), whose left
// operand lies in registers and whose right one in shared memory, in a ring of units that other warps fill.
//
// Defined by the caller: STAGES (units in shared memory), and SCALAR, of 16 bits.
#pragma once

__device__ __forceinline__ u32 address_of(const void* shared) { return (u32)__cvta_generic_to_shared(shared); }

// Barriers in shared memory: "full" counts what a unit waits for, "empty" the warps that are through with it, of all
// blocks that share the unit.
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
// What lies at `at` in this block, in the block `rank` of its cluster.
__device__ __forceinline__ u32 in_block(u32 at, u32 rank) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(rank));
  return there;
}
// Without a scope: what orders all memory for a cluster (`release.cluster`) would wait for everything that the thread
// has stored. Who arrives has only read shared memory, and has what was read.
__device__ __forceinline__ void cluster_barrier_arrive(u32 barrier) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}
// All threads of a cluster, none of whose warps need be together: before the first copy, when barriers have been made,
// and behind the last one.
__device__ __forceinline__ void cluster_begin() {
  asm volatile("barrier.cluster.arrive.relaxed;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
__device__ __forceinline__ void cluster_end() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}

// The place in a ring of STAGES units, `Stride` bytes apart; every warp goes through the same sequence. `Blocks` of a
// cluster share the units: each copies a part of every unit into all of them.
template <u32 Stride, u32 Blocks = 1> struct Ring {
  u32 base, full, empty;
  u32 stage, parity;
  u32 empty_there;  // of several blocks: lane `rank` has where the barriers of that block are
  __device__ __forceinline__ void step() {
    if (++stage == STAGES) stage = 0, parity ^= 1;
  }
  __device__ __forceinline__ u32 acquire() const {
    barrier_wait(full + 8 * stage, parity);
    return base + stage * Stride;
  }
  // Every lane is through with unit `at`.
  __device__ __forceinline__ void release(u32 at) const {
    __syncwarp();
    const u32 lane = threadIdx.x & 31;
    if constexpr (Blocks == 1) {
      if (lane == 0) barrier_arrive(empty + 8 * at);
    } else if (lane < Blocks) {
      cluster_barrier_arrive(empty_there + 8 * at);
    }
  }
  // For who copies: the place of the next unit is free, here and wherever this block copies to.
  __device__ __forceinline__ void wait_free() const { barrier_wait(empty + 8 * stage, parity ^ 1); }
};

#define REGISTERS8(a, i)                                                                                      \
  "+f"(a[i]), "+f"(a[i + 1]), "+f"(a[i + 2]), "+f"(a[i + 3]), "+f"(a[i + 4]), "+f"(a[i + 5]), "+f"(a[i + 6]), \
      "+f"(a[i + 7])
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define WGMMA_TYPES "f32.bf16.bf16"
#else
#define WGMMA_TYPES "f32.f16.f16"
#endif
#define REGISTERS32(a, i) REGISTERS8(a, i), REGISTERS8(a, i + 8), REGISTERS8(a, i + 16), REGISTERS8(a, i + 24)
#define FIRST32                                                                                          \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, " \
  "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NEXT32                                                                                           \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, " \
  "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LAST32                                                                                           \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, " \
  "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
// sum [64, 64] = left [64, 16] right^T (+ sum). right lies in shared memory, where the descriptor tells: 64 rows of 16
// numbers, or Transposed 16 rows of 64.
template <int Transposed = 0>
__device__ __forceinline__ void multiply(float* sum, const u32 (&left)[4], u64 right, int add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %37, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " {" FIRST32
      "}, {%32, %33, %34, %35}, %36, p, 1, 1, %38; }\n"
      : REGISTERS32(sum, 0)
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right), "r"(add), "n"(Transposed));
}
// The same with left in shared memory too, 64 rows of 16 numbers.
__device__ __forceinline__ void multiply_shared(float* sum, u64 left, u64 right, int add) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %34, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16." WGMMA_TYPES " {" FIRST32 "}, %32, %33, p, 1, 1, 0, 0; }\n"
      : REGISTERS32(sum, 0)
      : "l"(left), "l"(right), "r"(add));
}
// sum [64, 64 Panels] += left [64, 16] right, 16 rows of `Panels` panels of 64 numbers each.
template <int Panels>
__device__ __forceinline__ void multiply_panels(float (&sum)[32 * Panels], const u32 (&left)[4], u64 right) {
  static_assert(Panels == 2 || Panels == 3, "128 or 192 numbers");
  if constexpr (Panels == 2)
    asm volatile(
        "{ .reg .pred p; setp.eq.u32 p, 0, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16." WGMMA_TYPES " {" FIRST32 ", " NEXT32
        "}, {%64, %65, %66, %67}, %68, p, 1, 1, 1; }\n"
        : REGISTERS32(sum, 0), REGISTERS32(sum, 32)
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
  else
    asm volatile(
        "{ .reg .pred p; setp.eq.u32 p, 0, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n192k16." WGMMA_TYPES " {" FIRST32 ", " NEXT32 ", " LAST32
        "}, {%96, %97, %98, %99}, %100, p, 1, 1, 1; }\n"
        : REGISTERS32(sum, 0), REGISTERS32(sum, 32), REGISTERS32(sum, 64)
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right));
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
// The same for a product that reads several panels of such rows, `apart` bytes from one to the next.
__device__ __forceinline__ u64 panels_descriptor(u32 at, u32 apart) {
  return (descriptor(at) & ~(0x3fffull << 16)) | (u64)(apart / 16) << 16;
}
// Of what lies so many bytes behind. Only the lower half of a descriptor knows of addresses, and none is so large that
// a sum would touch what stands above it: that spares most of the instructions that a descriptor would take anew.
__device__ __forceinline__ u64 further(u64 from, u32 bytes) {
  u64 to;
  asm("{ .reg .b32 low, high; mov.b64 {low, high}, %1; add.u32 low, low, %2; mov.b64 %0, {low, high}; }"
      : "=l"(to)
      : "l"(from), "r"(bytes / 16));
  return to;
}

// A unit of 64 rows times 16 Steps columns: sum [64, 64] = left [64, 16 Steps] unit^T.
template <int Steps>
__device__ __forceinline__ void multiply_tall(float (&sum)[32], const u32 (&left)[Steps][4], u32 unit) {
  const u64 right = descriptor(unit);
#pragma unroll
  for (int k = 0; k < Steps; k++) multiply(sum, left[k], further(right, k / 4 * 64 * 128 + k % 4 * 32), k > 0);
}
// The same with the ring's next unit, which is given back.
template <int Steps, u32 Stride, u32 Blocks>
__device__ __forceinline__ void multiply_next(float (&sum)[32], u32 (&left)[Steps][4], Ring<Stride, Blocks>& ring) {
  const u32 unit = ring.acquire();
  keep(sum), keep(left);
  products_begin();
  multiply_tall(sum, left, unit);
  products_end();
  products_wait<0>();
  keep(sum), keep(left);
  ring.release(ring.stage);
  ring.step();
}
