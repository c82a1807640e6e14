// Plain-data arguments of the causal convolution kernels: no torch headers, shared by all instruction sets.
#pragma once
#include <cstdint>

#include "scan_args.h"

namespace mamba_prune {

constexpr int64_t kConvMaxTaps = 8;
// Channels per task: rows of a block stay in L1 while the taps move over them.
constexpr int64_t kConvBlock = 128;

template <class T> struct ConvInputs {
  int64_t batch, length, channels, taps;
  int64_t padded;  // channels rounded up to a multiple of kConvBlock: row length of weight and bias
  Rows<const T> x;
  const T* weight;  // [taps, padded], zero beyond the last channel
  const T* bias;    // [padded], zero without a bias
  bool silu;
};

template <class T> struct ConvForward : ConvInputs<T> {
  T* y;              // [batch, length, channels]
  int64_t y_stride;  // of a step
};

// A task is a slice of the batch times a block of channels; slices depend on the shapes only.
template <class T> struct ConvBackward : ConvInputs<T> {
  int64_t slices;
  Rows<const T> grad_y;
  Rows<T> grad_x;
  T* grad_rows;  // partial sums [slices, taps + 1, padded]: weight, then bias
};

// Rows of kConvBlock elements: a zero row, the ring of gradients, the sums.
constexpr int64_t conv_scratch(int64_t taps) { return (1 + 2 * (taps + 1)) * kConvBlock; }

}  // namespace mamba_prune
