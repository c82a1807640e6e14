// Matrix products through cuBLASLt, with what can be fused into them.
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

/** A row-major matrix in device memory. */
struct Mat {
  const void* data;
  int64_t rows, columns, stride;  // stride: elements from one row to the next
};
/** A 2-d view of a tensor whose last dimension is contiguous; all dimensions but the last become rows. */
Mat mat(const at::Tensor& t);

/** What happens to the product before it is stored. */
enum class Epilogue {
  none,
  bias,           // + bias
  gelu_bias,      // gelu(. + bias), tanh form
  gelu_aux_bias,  // the same, with . + bias kept in aux
};

struct Extra {
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;  // of the result's type
  void* aux = nullptr;         // of the result's shape and type
  int64_t aux_stride = 0;
  const Mat* add = nullptr;  // added to the product, before the epilogue; of the result's type
};

/**
 * out = op(a) op(b) (+ extra), where op transposes when asked to. a and b have one type, `in`; out has `out_type`.
 * Accumulates in float32.
 */
void gemm(const Mat& a, bool transpose_a, const Mat& b, bool transpose_b, const Mat& out, at::ScalarType in,
          at::ScalarType out_type, const Extra& extra = {});

}  // namespace mamba_prune::cuda
