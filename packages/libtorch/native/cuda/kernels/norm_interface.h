// What layer_norm.cu, rms_norm.cu and the host that launches them share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::norm_kernel {

/** @tparam T type of the elements, void on the host */
template <class T> struct NormArgs {
  const T *x, *dy, *dskip;
  const float *weight, *bias;
  T *y, *dx;
  float* partial;  // [blocks, 2 or 3 width]: gradients of weight and bias, sum of dskip
  long long x_row, y_row, dy_row, dskip_row, dx_row;
  int rows;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(NormArgs<void>, 8 * 8 + 5 * 8 + 2 * 4);

/** @tparam T type of the branch's elements, void on the host; those of the residual stream are float32 */
template <class T> struct RmsNormArgs {
  const float *x, *dskip;
  const T* dy;
  const float* weight;
  T* y;
  float *dx, *partial;  // partial: [blocks, width], gradient of weight
  long long x_row, y_row, dy_row, dskip_row, dx_row;
  int rows;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(RmsNormArgs<void>, 7 * 8 + 5 * 8 + 2 * 4);

}  // namespace mamba_prune::cuda::norm_kernel
