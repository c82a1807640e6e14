// A row in the registers of a warp, for the normalisations over the last dimension. Defined by the caller: WIDTH,
// VECTOR (neighbouring elements of a lane).
#pragma once

constexpr int kPer = (WIDTH + 32 * VECTOR - 1) / (32 * VECTOR);  // vectors of a lane

__device__ __forceinline__ int column(int i) { return (i * 32 + (threadIdx.x & 31)) * VECTOR; }

// `VECTOR` neighbouring floats, moved by one instruction.
struct alignas(4 * VECTOR) FloatPack {
  float v[VECTOR];
};

// A row on its way.
struct NextRow {
  Raw<VECTOR> v[kPer];
  __device__ __forceinline__ void read(const scalar* from) {
#pragma unroll
    for (int i = 0; i < kPer; i++)
      if (column(i) < WIDTH) v[i] = *reinterpret_cast<const Raw<VECTOR>*>(from + column(i));
  }
};

struct Row {
  float v[kPer][VECTOR];
  __device__ __forceinline__ void take(const NextRow& from) {
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) v[i][k] = column(i) < WIDTH ? from.v[i].get(k) : 0.0f;
  }
  __device__ __forceinline__ void read(const scalar* from) {
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      if (column(i) < WIDTH) load<VECTOR>(v[i], from + column(i));
      else
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[i][k] = 0.0f;
    }
  }
  __device__ __forceinline__ void read_floats(const float* from) {
#pragma unroll
    for (int i = 0; i < kPer; i++)
#pragma unroll
      for (int k = 0; k < VECTOR; k++) v[i][k] = column(i) < WIDTH ? from[column(i) + k] : 0.0f;
  }
  __device__ __forceinline__ void write(scalar* to) const {
#pragma unroll
    for (int i = 0; i < kPer; i++)
      if (column(i) < WIDTH) store<VECTOR>(to + column(i), v[i]);
  }
  // Of float32 whatever SCALAR is.
  __device__ __forceinline__ void read_stream(const float* from) {
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      const FloatPack p = column(i) < WIDTH ? *reinterpret_cast<const FloatPack*>(from + column(i)) : FloatPack{};
#pragma unroll
      for (int k = 0; k < VECTOR; k++) v[i][k] = p.v[k];
    }
  }
  __device__ __forceinline__ void write_stream(float* to) const {
#pragma unroll
    for (int i = 0; i < kPer; i++) {
      if (column(i) >= WIDTH) continue;
      FloatPack p;
#pragma unroll
      for (int k = 0; k < VECTOR; k++) p.v[k] = v[i][k];
      *reinterpret_cast<FloatPack*>(to + column(i)) = p;
    }
  }
};

// Scales a row in place to a root mean square of 1; gives the factor.
__device__ __forceinline__ float scale_to_one(Row& x, float eps) {
  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) squares += x.v[i][k] * x.v[i][k];
  const float scale = rsqrtf(warp_sum(squares) * (1.0f / WIDTH) + eps);
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) x.v[i][k] *= scale;
  return scale;
}
