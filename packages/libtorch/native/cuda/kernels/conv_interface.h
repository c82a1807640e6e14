// What conv.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::conv_kernel {

/** Groups of channels that a block of the backward pass takes: those of a warp. */
constexpr int kBackwardGroups = 32;

/** @tparam T type of the elements, void on the host */
template <class T> struct ConvArgs {
  const T *x, *dy;
  const float *weight, *bias;  // [channels, taps], [channels]
  T *y, *dx;
  float* partial;  // [blocks along y, (taps + 1) channels]: gradients of weight [channels, taps], then bias
  long long x_row, y_row, dy_row, dx_row;
  // Results are written in columns [0, width), a multiple of VECTOR; those from `channels` on are zero.
  int batch, length, channels, width;
  int run;  // steps of a warp at a time, in the backward pass
};
MAMBA_PRUNE_CHECK_LAYOUT(ConvArgs<void>, 7 * 8 + 4 * 8 + 5 * 4 + kPadding);

/** Of the forward pass in both directions: these are of the one that begins at the sequence's end. */
template <class T> struct ConvBothArgs : ConvArgs<T> {
  const float *back_weight, *back_bias;
  T* back_y;
};
MAMBA_PRUNE_CHECK_LAYOUT(ConvBothArgs<void>, sizeof(ConvArgs<void>) + 3 * 8);

/** Of a backward pass that also adds to dy what reaches y through the projections: dprojected times the weight. */
template <class T> struct ConvThroughArgs : ConvArgs<T> {
  const T *dprojected, *projection;  // [batch, length, columns], [columns, width]; both without gaps
};
MAMBA_PRUNE_CHECK_LAYOUT(ConvThroughArgs<void>, sizeof(ConvArgs<void>) + 2 * 8);

}  // namespace mamba_prune::cuda::conv_kernel
