// Instructions that cluster_blocks.cu is made of, with shared memory given by pointers of this multiprocessor; a
// pointer together with the rank of a multiprocessor of the cluster is the same place there. PTX ISA, "Parallel
// synchronization and communication instructions" and "Data movement and conversion instructions".
#pragma once
#include "pairs.cuh"

__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ u32 at_rank(const void* p, u32 rank) {
  u32 r;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(shared_address(p)), "r"(rank));
  return r;
}
__device__ __forceinline__ u32 cluster_rank() {
  u32 r;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// A barrier of one thread that arrives, with the bytes that are to come, and of the bytes themselves.
__device__ __forceinline__ void barrier_init(u64* barrier) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void barriers_ready() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ __forceinline__ void barrier_expect(u64* barrier, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void barrier_wait(u64* barrier, u32 parity) {
  u32 done;
  do {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (!done);
}
__device__ __forceinline__ void copy_from_global(void* to, const unsigned char* from, u32 bytes, u64* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}
// What is at `from` here comes to be at `to` there, where the barrier counts it.
__device__ __forceinline__ void copy_to_rank(u32 rank, void* to, const void* from, u32 bytes, u64* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   at_rank(to, rank)),
               "r"(shared_address(from)), "r"(bytes), "r"(at_rank(barrier, rank))
               : "memory");
}
// What this thread wrote to shared memory may be copied.
__device__ __forceinline__ void written_for_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A tile of 16 rows of 16 numbers: each lane gives the address of 16 bytes, lanes 0 to 15 the first halves of the rows.
__device__ __forceinline__ void load_tile(u32 (&a)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
               : "r"(shared_address(p))
               : "memory");
}
// sum [16, 8] += a [16, 16] b [16, 8]; a lane has rows lane / 4 and 8 on, columns 2 (lane % 4) and 1 on.
__device__ __forceinline__ void multiply(float (&sum)[4], const u32 (&a)[4], uint2 b) {
#if SCALAR == MAMBA_PRUNE_BFLOAT16
#define MAMBA_PRUNE_TYPES "f32.bf16.bf16.f32"
#else
#define MAMBA_PRUNE_TYPES "f32.f16.f16.f32"
#endif
  asm("mma.sync.aligned.m16n8k16.row.col." MAMBA_PRUNE_TYPES
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b.x), "r"(b.y));
}

// Of so many threads; 0 is the barrier of all.
__device__ __forceinline__ void team_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
