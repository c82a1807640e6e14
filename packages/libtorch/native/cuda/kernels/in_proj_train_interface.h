// What in_proj_train.cu and the host that launches it share, beside fused_mlp_interface.h.
#pragma once
#include "fused_mlp_interface.h"

namespace mamba_prune::cuda::in_proj_train_kernel {

constexpr int kPackThreads = 256;

/** @tparam T type of the elements, void on the host */
template <class T> struct PackArgs {
  const T* weight;  // [width, MODEL]
  unsigned char* units;
  int width;
};
MAMBA_PRUNE_CHECK_LAYOUT(PackArgs<void>, 2 * 8 + 4 + kPadding);

/** @tparam T type of the elements, void on the host */
template <class T> struct InProjTrainArgs {
  const T *x, *dout;  // [rows, MODEL]
  const unsigned char* units;
  const float *norm_weight, *norm_bias;
  T *xz, *normed, *dx;  // xz: [rows, width], the result, or its gradient; normed, dx: [rows, MODEL]
  float* norm_partial;  // [warps, 3, MODEL]: sums over the rows of a warp
  int rows, unit_count, width;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(InProjTrainArgs<void>, 9 * 8 + 4 * 4);

}  // namespace mamba_prune::cuda::in_proj_train_kernel
