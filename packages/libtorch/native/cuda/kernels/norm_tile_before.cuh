// Layer normalisation (Ba et al. 2016, arXiv 1607.06450) of the rows of a warpgroup's tile, in front of a product and
// behind the product that gives its gradient; and what the kernels that train so share. Beside warpgroup.cuh.
#pragma once
#include "warpgroup_before.cuh"

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
__device__ __forceinline__ void normalized(u32 (&left)[kSteps][4], const float (&v)[4 * kBlocks],
                                           const float* norm_weight, const float* norm_bias, float eps) {
  const RowScale rows([&](int i) { return v[i]; }, eps);
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

// Where a warp has the sums of its rows over all tiles of its block: the block's first tile writes, the others add.
struct Sums {
  float* at;
  bool add;
  __device__ __forceinline__ Sums(float* partial, int tile, int width)
      : at(partial + (i64)(blockIdx.x * GROUPS * 4 + threadIdx.x / 32) * width), add(tile != blockIdx.x) {}
  // What the tiles before have left, to be asked for well before it is used.
  __device__ __forceinline__ float2 held(int column) const {
    return add ? *reinterpret_cast<const float2*>(at + column) : make_float2(0.0f, 0.0f);
  }
  __device__ __forceinline__ void put(int column, float2 sum, float2 held) const {
    *reinterpret_cast<float2*>(at + column) = make_float2(sum.x + held.x, sum.y + held.y);
  }
};

// The pass back through the normalisation of rows of x, given the gradient of its results as a product leaves it:
// writes the gradient of x, with `skip` added, which reaches x past the layer. `sums` [3, MODEL] gets, for the rows of
// this warp, the sums for the gradients of weight and bias, and those of skip.
__device__ __forceinline__ void norm_backward_rows(float (&dy)[4 * kBlocks], const Rows& rows, const scalar* x_from,
                                                   const scalar* skip_from, const float* weight_from, float eps,
                                                   scalar* dx, const Sums& sums) {
  uint4 packed[2][MODEL / 32];
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++)
#pragma unroll
    for (int r = 0; r < 2; r++) packed[r][i] = rows.read(x_from, r, i);
  const auto x = [&](int k) {
    const uint4& from = packed[k >> 1 & 1][k / 16];
    const u32 parts[4] = {from.x, from.y, from.z, from.w};
    scalar v;
    v.bits = (u16)(parts[k / 4 % 4] >> k % 2 * 16);
    return up(v);
  };
  const RowScale scales(x, eps);
  const auto normal = [&](int k) { return scales.normal(x(k), k >> 1 & 1); };
  float mean[2] = {0, 0}, along[2] = {0, 0};
  const int lane = threadIdx.x & 31, at = column_of(lane / 4 * 8 + lane % 4 * 2);
  const auto put_sums = [&](const float* of, int which, int block) {
    const int column = which * MODEL + 64 * block + at;
    const float2 sum = sum_over_rows(*reinterpret_cast<const float (*)[32]>(of));
    sums.put(column, sum, sums.held(column));
  };
#pragma unroll
  for (int block = 0; block < MODEL / 64; block++) {
    put_sums(dy + 32 * block, 1, block);
    float of_weight[32];
#pragma unroll
    for (int i = 0; i < 32; i++) of_weight[i] = dy[32 * block + i] * normal(32 * block + i);
    put_sums(of_weight, 0, block);
  }
#pragma unroll
  for (int i = 0; i < MODEL / 32; i++) {
    const Columns weight(weight_from, i);
#pragma unroll
    for (int k = 0; k < 16; k++) {
      float& v = dy[16 * i + k];
      v *= weight.v[k / 4 * 2 + k % 2];
      mean[k >> 1 & 1] += v, along[k >> 1 & 1] += v * normal(16 * i + k);
    }
  }
#pragma unroll
  for (int r = 0; r < 2; r++)
    mean[r] = row_sum(mean[r]) * (1.0f / MODEL), along[r] = row_sum(along[r]) * (1.0f / MODEL);
#pragma unroll
  for (int block = 0; block < MODEL / 64; block++) {
    float skip[32];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float v[8];
        apart(v, rows.read(skip_from, r, 2 * block + i));
#pragma unroll
        for (int k = 0; k < 8; k++) skip[16 * i + k / 2 * 4 + 2 * r + k % 2] = v[k];
      }
#pragma unroll
    for (int i = 0; i < 32; i++) {
      const int k = 32 * block + i, r = i >> 1 & 1;
      dy[k] = scales.scale[r] * (dy[k] - mean[r] - normal(k) * along[r]) + skip[i];
    }
    put_sums(skip, 2, block);
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int r = 0; r < 2; r++) rows.write(dx, r, 2 * block + i, MODEL, dy + 32 * block + 16 * i);
  }
}

// acc [64, MODEL] += left [64, 64] unit, over the 64 rows of a unit.
__device__ __forceinline__ void multiply_over_rows(float (&acc)[4 * kBlocks], const u32 (&left)[4][4], u32 unit) {
#pragma unroll
  for (int k = 0; k < 4; k++)
#pragma unroll
    for (int n = 0; n < MODEL / 64; n++)
      multiply<1>(acc + 32 * n, left[k], descriptor(unit + n * 64 * 128 + k * 16 * 128), 1);
}

// The tile of a warpgroup's loop, and the warpgroup that copies.
template <class Tile> __device__ __forceinline__ void run(const unsigned char* units, int unit_count, int row_count,
                                                          Units& ring, const Tile& tile_work) {
  const int tiles = (row_count + mlp::kTile * GROUPS - 1) / (mlp::kTile * GROUPS);
  if (threadIdx.x >= GROUPS * mlp::kWarpgroup) {
#if GROUPS == 2
    asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
#endif
    if (threadIdx.x == GROUPS * mlp::kWarpgroup) copy_units(units, ring, tiles, unit_count);
    return;
  }
#if GROUPS == 2
  asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
#endif
  const int row = threadIdx.x / 32 * 16 + (threadIdx.x & 31) / 4;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    tile_work(tile, Rows{tile * mlp::kTile * GROUPS + row, row_count});
}
