// What norm_mean.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::norm_mean_kernel {

constexpr int kThreads = 256;

/** @tparam T type of the elements, void on the host */
template <class T> struct NormMeanArgs {
  const T* x;  // [batch, length, WIDTH]
  const float *weight, *bias;
  float *mean, *out;  // [batch, WIDTH]: of the normalised tokens, and with weight and bias
  const float* dout;  // [batch, WIDTH]
  T* dx;
  float* partial;  // [batch, 2 WIDTH]: gradients of weight and bias
  int length;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(NormMeanArgs<void>, 8 * 8 + 2 * 4);

}  // namespace mamba_prune::cuda::norm_mean_kernel
