// Plain-data arguments of the optimizer, bias_gelu and normalisation kernels: no torch headers, shared by all
// instruction sets.
#pragma once
#include <cstdint>

namespace mamba_prune {

template <class T> struct AdamWStep {
  T decay;  // 1 - lr * weight_decay
  T beta1, beta2, eps;
  T one_minus_beta1, one_minus_beta2;
  T step_size;         // lr / (1 - beta1^step)
  T correction2_sqrt;  // sqrt(1 - beta2^step)
};

template <class T> struct SgdStep {
  T lr, momentum, weight_decay;
  bool nesterov, first;
};

// Rows of bias_gelu: x is [rows, columns], bias [columns].
template <class T> struct GeluArgs {
  int64_t rows, columns;
  const T *x, *bias;
  const T* grad_y;  // backward only
  T* out;           // y, or the gradient of x
  T* sums;          // backward only: partial sums of the bias gradient, [chunks, columns]
  int64_t rows_per_chunk;
};

// Rows of rms_norm: x is [rows, columns], weight [columns].
template <class T> struct RmsNormArgs {
  int64_t rows, columns;
  T eps;
  const T *x, *weight;
  const T* grad_y;  // backward only
  T* out;           // y, or the gradient of x
  T* sums;          // backward only: partial sums of the gradient of weight, [chunks, columns]
  int64_t rows_per_chunk;
};

// Rows of layer_norm: x is [rows, columns], weight and bias [columns]. Forward in tasks of a row, backward in chunks.
struct LayerNormArgs {
  int64_t rows, columns;
  float eps;
  const float *x, *weight, *bias;
  float* out;  // y, or the gradient of x
  // Backward only.
  const float *grad_y, *residual;  // residual: the gradient of the skip connection around the branch
  float* sums;                     // [chunks, 3, columns]: the gradients of weight and bias, the sum of `residual`
  int64_t rows_per_chunk;
};

}  // namespace mamba_prune
