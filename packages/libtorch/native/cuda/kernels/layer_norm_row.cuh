// Layer normalisation of a row in the registers of a warp. Defined by the caller: what norm_row.cuh says.
#pragma once
#include "norm_row.cuh"

// Centres and scales a row in place; gives the factor.
__device__ __forceinline__ float normalize(Row& x, float eps) {
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) sum += x.v[i][k];
  const float mean = warp_sum(sum) * (1.0f / WIDTH);
#pragma unroll
  for (int i = 0; i < kPer; i++)
#pragma unroll
    for (int k = 0; k < VECTOR; k++) x.v[i][k] = column(i) < WIDTH ? x.v[i][k] - mean : 0.0f;
  return scale_to_one(x, eps);
}
