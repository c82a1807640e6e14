// What the kernels of the convolution share. Defined by the caller: TAPS, VECTOR, REVERSE and HAS_BIAS, as conv.cu
// says.
#pragma once
#include "conv_interface.h"

using namespace mamba_prune::cuda::conv_kernel;
using Args = ConvArgs<scalar>;

__device__ __forceinline__ i64 row_of(const Args& a, int batch, int step) {
  return (i64)batch * a.length + (REVERSE ? a.length - 1 - step : step);
}

// Of channels that are not there all is zero, and so are their results.
struct Filter {
  float w[VECTOR][TAPS], bias[VECTOR];
  __device__ __forceinline__ void read(const float* weight, const float* bias_, int channel, int channels) {
#pragma unroll
    for (int v = 0; v < VECTOR; v++) {
      const bool inside = channel + v < channels;
#pragma unroll
      for (int k = 0; k < TAPS; k++) w[v][k] = inside ? weight[(i64)(channel + v) * TAPS + k] : 0.0f;
      bias[v] = HAS_BIAS && inside ? bias_[channel + v] : 0.0f;
    }
  }
};
