// Layer normalisation (Ba et al. 2016, arXiv 1607.06450) of the rows of a warpgroup's tile, in front of a product and
// behind the product that gives its gradient; and what the kernels that train so share. Beside warpgroup.cuh.
#pragma once
#include "warpgroup.cuh"

// Where a product's number lies among the columns.
__device__ __forceinline__ int column_of(int number) {
  return (number & ~31) + (number & 7) / 2 * 8 + (number >> 3 & 3) * 2 + (number & 1);
}

// Of number i of a unit its row and its column, both as numbers of a product. In shared memory 64 columns are a panel
// of 64 rows times 128 bytes; pieces of 16 bytes of a row are exchanged by its place among 8.
__device__ __forceinline__ int unit_row(int i) { return i / 64 % mlp::kTile; }
__device__ __forceinline__ int unit_column(int i) {
  const int at = i % 64;
  return i / (64 * mlp::kTile) * 64 + ((at / 8) ^ (unit_row(i) % 8)) * 8 + at % 8;
}

// What brings a lane's two rows to mean 0 and variance 1; `v(i)` is number i of them, as a product leaves them.
struct RowScale {
  float scale[2], shift[2];
  RowScale() = default;
  template <class V> __device__ __forceinline__ RowScale(const V& v, float eps) {
    float mean[2] = {0, 0}, squares[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 4 * kBlocks; i++) mean[(i >> 1) & 1] += v(i);
#pragma unroll
    for (int r = 0; r < 2; r++) mean[r] = row_sum(mean[r]) * (1.0f / MODEL);
#pragma unroll
    for (int i = 0; i < 4 * kBlocks; i++) {
      const float centred = v(i) - mean[(i >> 1) & 1];
      squares[(i >> 1) & 1] += centred * centred;
    }
#pragma unroll
    for (int r = 0; r < 2; r++)
      scale[r] = rsqrtf(row_sum(squares[r]) * (1.0f / MODEL) + eps), shift[r] = -mean[r] * scale[r];
  }
  __device__ __forceinline__ float normal(float v, int r) const { return v * scale[r] + shift[r]; }
};

// Normalised rows as the left operand of a product.
__device__ __forceinline__ void normalized(u32 (&left)[kSteps][4], const float (&v)[4 * kBlocks], const RowScale& rows,
                                           const float* norm_weight, const float* norm_bias) {
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++) {
    const Columns weight(norm_weight, i), bias(norm_bias, i);
#pragma unroll
    for (int p = 0; p < 4; p++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float* from = v + 16 * i + 4 * p + 2 * r;
        left[2 * i + p / 2][p % 2 * 2 + r] = pair(rows.normal(from[0], r) * weight.v[2 * p] + bias.v[2 * p],
                                                  rows.normal(from[1], r) * weight.v[2 * p + 1] + bias.v[2 * p + 1]);
      }
  }
}

__device__ __forceinline__ void write_normed(scalar* to, const Rows& rows, const u32 (&left)[kSteps][4]) {
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const i64 at = rows.place(r, i, MODEL);
      if (at >= 0) store16(to + at, left[2 * i][r], left[2 * i][2 + r], left[2 * i + 1][r], left[2 * i + 1][2 + r]);
    }
}

// Of 2 Count columns a lane keeps Count, summed with those of the lane 2 Count further or back.
template <int Count> __device__ __forceinline__ void halve(float (&s)[16], int lane) {
  const bool upper = lane & (2 * Count);
#pragma unroll
  for (int i = 0; i < Count; i++) {
    const float mine = upper ? s[Count + i] : s[i], other = upper ? s[i] : s[Count + i];
    s[i] = mine + __shfl_xor_sync(kAllLanes, other, 2 * Count);
  }
}
// Of 16 columns that a lane holds of a product's two rows, the sums over the warp's rows: lane 4 g + t keeps those of
// numbers 8 g + 2 t and the next.
__device__ __forceinline__ float2 sum_over_rows(const float (&v)[32]) {
  const int lane = threadIdx.x & 31;
  float s[16];
#pragma unroll
  for (int i = 0; i < 16; i++) s[i] = v[i / 2 * 4 + i % 2] + v[i / 2 * 4 + i % 2 + 2];
  halve<8>(s, lane), halve<4>(s, lane), halve<2>(s, lane);
  return make_float2(s[0], s[1]);
}

// Where a warp has the sums of its rows over all tiles of its block: the block's first tile writes, the others add. A
// lane alone has the two numbers at its column, so they are added in the order of the tiles; the L2 cache adds them,
// and nobody waits for what the tiles before have left.
struct Sums {
  float* at;
  bool add;
  __device__ __forceinline__ Sums(float* partial, int tile, int width)
      : at(partial + (i64)(blockIdx.x * GROUPS * 4 + threadIdx.x / 32) * width), add(tile != blockIdx.x) {}
  __device__ __forceinline__ void put(int column, float2 sum) const {
    asm volatile(
        "{ .reg .pred p; setp.ne.u32 p, %3, 0; @!p st.global.v2.f32 [%0], {%1, %2};\n"
        "@p red.relaxed.gpu.global.add.v2.f32 [%0], {%1, %2}; }" ::"l"(at + column),
        "f"(sum.x), "f"(sum.y), "r"((u32)add)
        : "memory");
  }
};

// The pass back through the normalisation of rows of x, which `scales` brings to mean 0 and variance 1, given the
// gradient of its results as a product leaves it: writes the gradient of x, with `skip` added, which reaches x past the
// layer. skip_of(block) has 64 columns of it, as PackedRows. `sums` [3, MODEL] gets, for the rows of this warp, the
// sums for the gradients of weight and bias, and those of skip.
//
// x is read twice, 64 columns at a time: there are no registers for more of it.
template <class SkipOf>
__device__ __forceinline__ void norm_backward_rows(float (&dy)[4 * kBlocks], const Rows& rows, const CopiedRows& x_rows,
                                                   const RowScale& scales, const SkipOf& skip_of,
                                                   const float* weight_from, scalar* dx, Sums sums) {
  float mean[2] = {0, 0}, along[2] = {0, 0};
  const int lane = threadIdx.x & 31;
  // One address for all sums and one for all results, made here: what would be kept from before the products would be
  // kept in memory.
  sums.at += column_of(lane / 4 * 8 + lane % 4 * 2);
  scalar* to = dx + (i64)rows.first * MODEL + 8 * (lane & 3);
  asm volatile("" : "+l"(sums.at), "+l"(to));
  const auto put_sums = [&](const float* of, int which, int block) {
    sums.put(which * MODEL + 64 * block, sum_over_rows(*reinterpret_cast<const float (*)[32]>(of)));
  };
#pragma unroll
  for (int block = 0; block < MODEL / 64; block++) {
    const PackedRows<2> x = x_rows.read<2>(2 * block);
    const auto normal = [&](int i) { return scales.normal(x(i), i >> 1 & 1); };
    put_sums(dy + 32 * block, 1, block);
    float of_weight[32];
#pragma unroll
    for (int i = 0; i < 32; i++) of_weight[i] = dy[32 * block + i] * normal(i);
    put_sums(of_weight, 0, block);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const Columns weight(weight_from, 2 * block + half);
#pragma unroll
      for (int k = 0; k < 16; k++) {
        float& v = dy[32 * block + 16 * half + k];
        v *= weight.v[k / 4 * 2 + k % 2];
        mean[k >> 1 & 1] += v, along[k >> 1 & 1] += v * normal(16 * half + k);
      }
    }
    // Here, and not behind all blocks, for which there are no registers.
    asm volatile("" : "+f"(mean[0]), "+f"(mean[1]), "+f"(along[0]), "+f"(along[1]));
  }
#pragma unroll
  for (int r = 0; r < 2; r++)
    mean[r] = row_sum(mean[r]) * (1.0f / MODEL), along[r] = row_sum(along[r]) * (1.0f / MODEL);
#pragma unroll
  for (int block = 0; block < MODEL / 64; block++) {
    const PackedRows<2> x = x_rows.read<2>(2 * block), skip_packed = skip_of(block);
    float skip[32];
#pragma unroll
    for (int i = 0; i < 32; i++) {
      const int k = 32 * block + i, r = i >> 1 & 1;
      skip[i] = skip_packed(i);
      dy[k] = scales.scale[r] * (dy[k] - mean[r] - scales.normal(x(i), r) * along[r]) + skip[i];
    }
    put_sums(skip, 2, block);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float* v = dy + 32 * block + 16 * i + 2 * r;
        if (rows.has(r))
          store16(to + r * 8 * MODEL + 64 * block + 32 * i, pair(v[0], v[1]), pair(v[4], v[5]), pair(v[8], v[9]),
                  pair(v[12], v[13]));
      }
  }
}

// acc [64, MODEL] += left [64, 64] unit, over the 64 rows of a unit.
__device__ __forceinline__ void multiply_over_rows(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
  const u64 right = panels_descriptor(unit, 64 * 128);
#pragma unroll
  for (int k = 0; k < 4; k++) multiply_panels<MODEL / 64>(acc, left[k], further(right, k * 16 * 128));
}
