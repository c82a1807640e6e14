// What mlp_train.cu and the host that launches it share, beside fused_mlp_interface.h.
#pragma once
#include "fused_mlp_interface.h"

namespace mamba_prune::cuda::mlp_train_kernel {

constexpr int kPackThreads = 256;

/** @tparam T type of the elements, void on the host */
template <class T> struct PackArgs {
  const T *fc1, *fc2;  // [width, MODEL], [MODEL, width]
  const float* bias1;  // [neurons]
  unsigned char* units;
  int neurons, width, neuron_units;
};
MAMBA_PRUNE_CHECK_LAYOUT(PackArgs<void>, 4 * 8 + 3 * 4 + kPadding);

/** @tparam T type of the elements, void on the host */
template <class T> struct TrainArgs {
  const T *x, *dout;  // [rows, MODEL]
  const unsigned char* units;
  const float *norm_weight, *norm_bias, *bias2;
  const float* scale;  // of the branch, one number for every `length` rows, or null
  // out: the result, or the gradient of x. normed [rows, MODEL]; hidden, behind GELU and
  // times the scale, and the gradient before GELU [rows, width].
  T *out, *normed, *hidden, *dbefore;
  // For each warp sums over its rows: of dbefore [width], and [3, MODEL] for the gradients of the normalisation's
  // weight and bias, and of dout.
  float *partial, *norm_partial;
  int rows, neuron_units, width, length;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(TrainArgs<void>, 13 * 8 + 5 * 4 + kPadding);

}  // namespace mamba_prune::cuda::mlp_train_kernel
