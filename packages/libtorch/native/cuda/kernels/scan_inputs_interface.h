// What scan_inputs.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::inputs_kernel {

constexpr int kMaxDirections = 2;
constexpr int kChunk = 32;  // channels that a warp takes at a time
constexpr int kStrips = 8;  // strips of tokens of a warp, and of a block

/** Weights of a scan direction, and what is made for it. @tparam T type of the elements, void on the host */
template <class T> struct InputsDirection {
  const float *weight, *bias;  // of the convolution: [channels, taps], [channels]
  const T *x_proj, *dt_proj;   // [COLUMNS, width], [width, RANK]
  T *u, *projected, *delta;    // rows of width, COLUMNS and width
};

template <class T> struct InputsArgs {
  const T* x;
  InputsDirection<T> directions[kMaxDirections];
  // x_row: elements from one row of x to the next; width: channels padded to a multiple of 8
  int x_row, batch, length, channels, width;
};
MAMBA_PRUNE_CHECK_LAYOUT(InputsArgs<void>, 8 + 2 * 7 * 8 + 5 * 4 + kPadding);

}  // namespace mamba_prune::cuda::inputs_kernel
