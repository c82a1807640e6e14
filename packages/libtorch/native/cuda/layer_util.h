// Checks that the fused layers share, and where their inputs begin.
#pragma once
#include <ATen/ATen.h>

#include "../kernels/op_util.h"

namespace mamba_prune::cuda {

/** x must be [batch, length, d_model] in float32, float16 or bfloat16. */
inline void check_rows(const char* op, const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 3 && x.size(1) > 0 && x.size(2) > 0, op, ": got x of shape ", x.sizes(),
              ", expected [batch, length, d_model] with length and d_model above 0.");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kHalf || x.scalar_type() == at::kBFloat16, op,
              ": got x of dtype ", x.scalar_type(), ", expected float32, float16 or bfloat16.");
}

/** A contiguous tensor of one shape and type, on the device of x. */
inline void check_shape(const char* op, const char* name, const at::Tensor& t, at::IntArrayRef shape,
                        at::ScalarType type, const at::Tensor& x) {
  TORCH_CHECK(t.defined() && t.sizes() == shape, op, ": got ", name, " of shape ",
              t.defined() ? t.sizes() : at::IntArrayRef(), ", expected ", shape, ".");
  TORCH_CHECK(t.scalar_type() == type, op, ": got ", name, " of dtype ", t.scalar_type(), ", expected ", type, ".");
  TORCH_CHECK(t.device() == x.device(), op, ": got ", name, " on ", t.device(), ", expected ", x.device(), " as x is.");
  TORCH_CHECK(t.is_contiguous(), op, ": got ", name, " with strides ", t.strides(), ", expected a contiguous tensor.");
}

/** The factor of a branch, one number a batch entry. */
inline void check_scale(const char* op, const OptionalTensor& scale, const at::Tensor& x) {
  if (scale.has_value() && scale->defined()) check_shape(op, "scale", *scale, {x.size(0)}, at::kFloat, x);
}

/**
 * weight [out, in] times a vector [in], for weights that are packed once. Not by cuBLAS, for which libtorch takes 32
 * MiB on each stream for good.
 */
inline at::Tensor times(const at::Tensor& weight, const at::Tensor& vector) { return (weight * vector).sum(1); }

/**
 * The tensor, contiguous, beginning where kernels may move 16 bytes at once. libtorch's memory begins at multiples of
 * 512 bytes, but a view of it anywhere: of such a view it is a copy.
 */
inline at::Tensor aligned(const at::Tensor& t) {
  if (!t.defined()) return t;
  const at::Tensor rows = t.contiguous();
  return reinterpret_cast<uintptr_t>(rows.data_ptr()) % 16 == 0 ? rows : rows.clone();
}

}  // namespace mamba_prune::cuda
