// What the kernels over rows of MODEL numbers share: units of weights that one warpgroup copies into a ring in shared
// memory and others multiply by, and rows of tokens.
//
// Columns are permuted within each 32, so that the 8 numbers that a lane holds of them are neighbours in memory: number
// 8 j + 2 t + b of a product is column 32 (j / 4) + 8 t + 2 (j % 4) + b.
//
// The blocks of a cluster go through the same units. Each copies a part of a unit, into the memory of all of them: the
// L2 cache is read once for the cluster.
//
// Defined by the caller: MODEL (128 or 192), GROUPS (warpgroups that multiply, 1 or 2), CLUSTER (blocks of a cluster, 1
// or 2), STAGES (units in shared memory), and SCALAR, of 16 bits.
#pragma once
#include "fused_mlp_interface.h"
#include "pairs.cuh"
#include "wgmma.cuh"

namespace mlp = mamba_prune::cuda::mlp_kernel;

using Units = Ring<mlp::unit_bytes(MODEL), CLUSTER>;
#if CLUSTER > 1
#define OF_CLUSTER __cluster_dims__(CLUSTER, 1, 1)
#else
#define OF_CLUSTER
#endif

constexpr int kUnit = mlp::number_bytes(MODEL);
constexpr int kStride = mlp::unit_bytes(MODEL);
constexpr int kBlocks = MODEL / 8;  // columns of MODEL, 8 at a time
constexpr int kSteps = MODEL / 16;  // products of 16 along MODEL

__device__ __forceinline__ u32 block_of_cluster() {
  u32 rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// The bytes of other blocks may come before this one has told its barrier how many to expect; a barrier counts both
// ways.
__device__ __forceinline__ void copy_unit(u32 to, const unsigned char* from, u32 barrier) {
  constexpr u32 kBytes = kUnit + mlp::kBiasBytes, kPart = kBytes / CLUSTER;
  static_assert(kPart % 16 == 0, "what is copied at once is a multiple of 16 bytes");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(kBytes) : "memory");
#if CLUSTER > 1
  const u32 at = block_of_cluster() * kPart;
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], "
      "%4;" ::"r"(to + at),
      "l"(from + at), "r"(kPart), "r"(barrier), "h"((u16)((1 << CLUSTER) - 1))
      : "memory");
#else
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(kPart), "r"(barrier)
               : "memory");
#endif
}

// A unit of MODEL rows times 64 columns: acc [64, MODEL] += left [64, 64] unit^T.
__device__ __forceinline__ void multiply_wide(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
  const u64 right = descriptor(unit);
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int n = 0; n < MODEL / 64; n++) multiply(acc + 32 * n, left[k], further(right, n * 64 * 128 + k * 32), 1);
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
  __device__ __forceinline__ Rows of_next_tile() const {
    return Rows{first + (int)gridDim.x * mlp::kTile * GROUPS, rows};
  }
  __device__ __forceinline__ bool has(int which) const { return first + 8 * which < rows; }
  // The row, or the last one in place of one behind it, without a choice between a load and zeros: of that the compiler
  // makes a load and a move behind it, which waits for memory wherever the numbers are used.
  __device__ __forceinline__ const scalar* nearest(const scalar* from, int which, int width = MODEL) const {
    return from + (i64)min(first + 8 * which, rows - 1) * width + 8 * (threadIdx.x & 3);
  }
  __device__ __forceinline__ void take(float (&v)[8], const scalar* from, int which, int i) const {
    apart(v, read(from, which, i));
  }
  // Has the L2 cache take what is read soon of rows of `width` numbers: a lane asks for 128 bytes of each, and so four
  // for all of MODEL numbers, and for the first 256 of wider ones.
  __device__ __forceinline__ void announce(const scalar* from, int width = MODEL) const {
    constexpr int kLine = 64;
    static_assert(MODEL % kLine == 0 && MODEL / kLine <= 4, "four lanes ask for a row");
    const int column = kLine * (threadIdx.x & 3);
    if (column >= width) return;
#pragma unroll
    for (int r = 0; r < 2; r++)
      if (first + 8 * r < rows)
        asm volatile("prefetch.global.L2 [%0];" ::"l"(from + (i64)(first + 8 * r) * width + column));
  }
  // v: results of a product, from the first of the 32 columns on.
  __device__ __forceinline__ void write(scalar* to, int which, int i, int width, const float* v) const {
    const i64 at = place(which, i, width);
    v += 2 * which;
    if (at >= 0) store16(to + at, pair(v[0], v[1]), pair(v[4], v[5]), pair(v[8], v[9]), pair(v[12], v[13]));
  }
};

// A lane's places in its two rows of `width` columns, from the next 64 on.
struct Wide {
  i64 at;  // in the first row
  int column, width;
  bool first, second;  // whether there are such rows
  __device__ __forceinline__ Wide(const Rows& rows, int width)
      : at((i64)rows.first * width + 8 * (threadIdx.x & 3)),
        column(8 * (threadIdx.x & 3)),
        width(width),
        first(rows.first < rows.rows),
        second(rows.first + 8 < rows.rows) {}
  __device__ __forceinline__ void step() { at += mlp::kTile, column += mlp::kTile; }
  // 64 columns, in pairs as the left operand of a product has them.
  __device__ __forceinline__ void write(scalar* to, const u32 (&left)[4][4]) const {
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++)
        if (column + 32 * i < width && (r == 0 ? first : second))
          store16(to + at + r * 8 * width + 32 * i, left[2 * i][r], left[2 * i][2 + r], left[2 * i + 1][r],
                  left[2 * i + 1][2 + r]);
  }
};

__device__ __forceinline__ float row_sum(float v) {
  v += __shfl_xor_sync(kAllLanes, v, 1);
  return v + __shfl_xor_sync(kAllLanes, v, 2);
}

// A block's tiles. All blocks of a cluster have the same number of them, since they share what they multiply by; the
// last tiles may have no rows.
template <class Work> __device__ __forceinline__ void for_tiles(int tiles, const Work& work) {
  for (int tile = blockIdx.x; tile / CLUSTER * CLUSTER < tiles; tile += gridDim.x) work(tile);
}
// The warpgroup that copies: all units for each of its block's tiles, place u of them by `unit_at`.
template <class UnitAt> __device__ __forceinline__ void copy_units(const unsigned char* from, Units ring, int tiles,
                                                                   int units, const UnitAt& unit_at) {
  for_tiles(tiles, [&](int) {
    for (int u = 0; u < units; u++) {
      ring.wait_free();
      copy_unit(ring.base + ring.stage * kStride, from + (i64)unit_at(u) * kStride, ring.full + 8 * ring.stage);
      ring.step();
    }
  });
}

// Two warpgroups of a block take turns in giving the tensor cores their products: while one's are computed, the other
// works on its results. Who does not wait for his turn gives them at the same time as the other, both wait for all of
// them, and then nothing is computed while both work on results.
struct Turns {
  static constexpr int kFirstBarrier = 3, kThreads = 2 * mlp::kWarpgroup;  // 1 and 2 are for each warpgroup alone
  int group;
  __device__ __forceinline__ explicit Turns(int group) : group(group) {
    if (group == 1) pass();
  }
  __device__ __forceinline__ void take() const {
#if GROUPS == 2
    asm volatile("bar.sync %0, %1;" ::"r"(kFirstBarrier + group), "n"(kThreads) : "memory");
#endif
  }
  __device__ __forceinline__ void pass() const {
#if GROUPS == 2
    asm volatile("bar.arrive %0, %1;" ::"r"(kFirstBarrier + 1 - group), "n"(kThreads) : "memory");
#endif
  }
  // When there are no more products: the last turn that was passed is taken.
  __device__ __forceinline__ void end() const {
    if (group == 0) take();
  }
};

// Rows as they lie in memory, 32 Count columns of a lane's two.
template <int Count> struct PackedRows {
  uint4 v[2][Count];
  // The pair of numbers 8 j + 2 t and the next of row r, as a product leaves them.
  __device__ __forceinline__ u32 pair_of(int j, int r) const {
    const uint4& from = v[r][j / 4];
    return j % 4 == 0 ? from.x : j % 4 == 1 ? from.y : j % 4 == 2 ? from.z : from.w;
  }
  // Number k of those that a lane has of a product's result.
  __device__ __forceinline__ float operator()(int k) const {
    const u32 two = pair_of(k / 4, k >> 1 & 1);
    return k % 2 ? high_of(two) : low_of(two);
  }
};
// Rows of MODEL numbers. Those behind the last are like it.
__device__ __forceinline__ PackedRows<MODEL / 32> packed_rows(const scalar* from, const Rows& rows) {
  PackedRows<MODEL / 32> packed;
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      // In this order and before what follows. Otherwise the compiler has loads that are used later wait for others.
      uint4& v = packed.v[r][i];
      asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                   : "l"(rows.nearest(from, r) + 32 * i)
                   : "memory");
    }
  return packed;
}
__device__ __forceinline__ void take_rows(float (&v)[4 * kBlocks], const PackedRows<MODEL / 32>& from) {
#pragma unroll
  for (int k = 0; k < 4 * kBlocks; k++) v[k] = from(k);
}
__device__ __forceinline__ void read_rows(float (&v)[4 * kBlocks], const scalar* from, const Rows& rows) {
  take_rows(v, packed_rows(from, rows));
}

// Rows that come into shared memory while a warpgroup does other things. A lane reads what it has copied itself, so
// that nobody has to be waited for; rows that are not there come as zeros.
struct CopiedRows {
  static constexpr int kPiece = mlp::kWarpgroup * 16, kBytes = MODEL / 32 * 2 * kPiece;
  u32 at;  // of kBytes for a warpgroup
  __device__ __forceinline__ explicit CopiedRows(u32 place) : at(place + threadIdx.x % mlp::kWarpgroup * 16) {}
  __device__ __forceinline__ void copy(const scalar* from, const Rows& rows) const {
#pragma unroll
    for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
      for (int r = 0; r < 2; r++)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at + (2 * i + r) * kPiece),
                     "l"(rows.nearest(from, r) + 32 * i), "r"(rows.has(r) ? 16 : 0)
                     : "memory");
  }
  __device__ __forceinline__ static void wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }
  // 32 Count columns from column 32 i on.
  template <int Count> __device__ __forceinline__ PackedRows<Count> read(int i) const {
    PackedRows<Count> rows;
#pragma unroll
    for (int k = 0; k < Count; k++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        uint4& v = rows.v[r][k];
        asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "r"(at + (2 * (i + k) + r) * kPiece));
      }
    return rows;
  }
};

// What a block reads again for every tile: a number for each column, in shared memory. To be called by all threads,
// before start_ring has them meet: with 226 KB of shared memory next to nothing is left of the L1 cache.
__device__ __forceinline__ void keep_columns(float* shared, const float* values) {
  for (int i = threadIdx.x; i < MODEL; i += blockDim.x) shared[i] = values[i];
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
  ring.empty_there = CLUSTER > 1 ? in_block(ring.empty, threadIdx.x % CLUSTER) : ring.empty;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; i++)
      barrier_init(ring.full + 8 * i, 1), barrier_init(ring.empty + 8 * i, 4 * GROUPS * CLUSTER);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (CLUSTER > 1) cluster_begin();
  return ring;
}

// What a block is: a warpgroup that copies units, and others that work on tiles. tile_work(tile, rows, turns).
template <class UnitAt, class Tile> __device__ __forceinline__ void run(const unsigned char* units, int unit_count,
                                                                        int row_count, const Units& ring,
                                                                        const UnitAt& unit_at, const Tile& tile_work) {
  const int tiles = (row_count + mlp::kTile * GROUPS - 1) / (mlp::kTile * GROUPS);
  // So that the compiler knows it for one number of the whole warp.
  const int group = __shfl_sync(kAllLanes, threadIdx.x / mlp::kWarpgroup, 0);
  if (group == GROUPS) {
#if GROUPS == 2
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
#endif
    if (threadIdx.x == GROUPS * mlp::kWarpgroup) copy_units(units, ring, tiles, unit_count, unit_at);
  } else {
#if GROUPS == 2
    asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
#endif
    const Turns turns(group);
    const int row = threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4;
    for_tiles(tiles, [&](int tile) { tile_work(tile, Rows{tile * mlp::kTile * GROUPS + row, row_count}, turns); });
    turns.end();
  }
  // Nobody's memory goes while another block of the cluster may still copy into it or arrive at its barriers.
  if (CLUSTER > 1) cluster_end();
}

// acc += fc2(gelu(fc1(left))), 64 neurons at a time: two units of the ring, of which multiply_second takes the one of
// fc2. That product is given together with the next one of fc1, whose results are in `sum`.
template <class Second> __device__ __forceinline__ void add_mlp(float (&acc)[4 * kBlocks], float (&sum)[32],
                                                                u32 (&left)[kSteps][4], Units& ring, int neuron_units,
                                                                const Turns& turns, Second multiply_second) {
  u32 hidden[4][4];
  u32 unit = ring.acquire(), stage = ring.stage, second, second_stage;
  ring.step();
  turns.take();
  keep(sum), keep(left);
  products_begin();
  multiply_tall(sum, left, unit);
  products_end();
  turns.pass();
  for (int c = 0;; c++) {
    products_wait<0>();
    keep(sum), keep(left), keep(acc), keep(hidden);
    if (c > 0) ring.release(second_stage);
    add_bias(sum, unit);
    ring.release(stage);
#pragma unroll
    for (int i = 0; i < 32; i++) sum[i] = gelu(sum[i]);
    to_left(hidden, sum);
    second = ring.acquire(), second_stage = ring.stage;
    ring.step();
    if (c + 1 == neuron_units) break;
    unit = ring.acquire(), stage = ring.stage;
    ring.step();
    turns.take();
    keep(sum), keep(left), keep(acc), keep(hidden);
    products_begin();
    multiply_second(acc, hidden, second);
    multiply_tall(sum, left, unit);
    products_end();
    turns.pass();
  }
  turns.take();
  keep(acc), keep(hidden);
  products_begin();
  multiply_second(acc, hidden, second);
  products_end();
  turns.pass();
  products_wait<0>();
  keep(acc), keep(hidden);
  ring.release(second_stage);
}
