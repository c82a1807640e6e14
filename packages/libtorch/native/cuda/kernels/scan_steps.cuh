// Step sizes, as both passes by tiles make them. Defined by the caller: HAS_BIAS and SOFTPLUS, as for scan.cu.
#pragma once
#include "scan_interface.h"

// Softplus with one instruction of the special function units in place of two: log(1 + e) / e is a polynomial in
// e = 2^(-|x| log2(e)), at most 8.4e-6 of itself from it.
__device__ __forceinline__ float tile_step_size(float delta, float bias) {
  const float x = HAS_BIAS ? delta + bias : delta;
  if (!SOFTPLUS) return x;
  const float e = ex2(-kLog2e * fabsf(x));
  float of_e = -0.02386916f;
  of_e = of_e * e + 0.10122234f, of_e = of_e * e - 0.21004877f, of_e = of_e * e + 0.32520673f;
  of_e = of_e * e - 0.49936137f, of_e = of_e * e + 0.99999160f;
  return of_e * e + fmaxf(x, 0.0f);
}
