// Helpers shared by the operator registrations: optional tensors, argument checks, layouts.
#pragma once
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/version.h>

#include <initializer_list>
#include <string>
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
#include <optional>
#endif

#include "scan_args.h"

namespace mamba_prune {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
using OptionalTensor = std::optional<at::Tensor>;
#else
using OptionalTensor = c10::optional<at::Tensor>;
#endif

inline at::Tensor defined_or_empty(const OptionalTensor& t) { return t.has_value() ? *t : at::Tensor(); }
// Optional arguments that autograd passes on as possibly undefined tensors.
inline OptionalTensor optional(const at::Tensor& t) { return t.defined() ? OptionalTensor(t) : OptionalTensor(); }

// Throws unless t has this shape, and the dtype and device of `like`. Undefined tensors pass (absent options).
inline void check_tensor(const char* op, const char* name, const at::Tensor& t, at::IntArrayRef shape,
                         const char* layout, const at::Tensor& like) {
  if (!t.defined()) return;
  TORCH_CHECK(t.sizes() == shape, op, ": got ", name, " of shape ", t.sizes(), ", expected ", layout, " = ", shape,
              ".");
  TORCH_CHECK(t.scalar_type() == like.scalar_type(), op, ": got ", name, " of dtype ", t.scalar_type(), ", expected ",
              like.scalar_type(), " like the first argument. Convert one of them.");
  TORCH_CHECK(t.device() == like.device(), op, ": got ", name, " on ", t.device(), ", expected ", like.device(),
              " like the first argument. Move one of them.");
}
// As check_tensor; but on a GPU, where activations may have 16 bits, a parameter may be float32 beside them.
inline void check_parameter(const char* op, const char* name, const at::Tensor& t, at::IntArrayRef shape,
                            const char* layout, const at::Tensor& like) {
  const bool mixed = t.defined() && t.device() == like.device() && t.is_cuda() && t.scalar_type() == at::kFloat;
  check_tensor(op, name, t, shape, layout, mixed ? t : like);
}
inline void check_floating(const char* op, const char* name, const at::Tensor& t) {
  const at::ScalarType type = t.scalar_type();
  if (t.is_cuda()) {
    TORCH_CHECK(type == at::kFloat || type == at::kHalf || type == at::kBFloat16, op, ": got ", name, " of dtype ",
                type, " on a GPU, expected float32, float16 or bfloat16. Convert it first.");
  } else {
    TORCH_CHECK(type == at::kFloat || type == at::kDouble, op, ": got ", name, " of dtype ", type,
                ", expected float32 or float64. Convert it first.");
  }
}

// Writing through raw pointers is invisible to autograd: without this a graph that saved the old values would
// silently compute with the new ones.
inline void written(const at::Tensor& t) { t.unsafeGetTensorImpl()->bump_version(); }

inline bool any_requires_grad(std::initializer_list<at::Tensor> tensors) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor& t : tensors)
    if (t.defined() && t.requires_grad()) return true;
  return false;
}

// The tensor itself if its last dimension is contiguous, else a contiguous copy. Undefined stays undefined.
inline at::Tensor dense_rows(const at::Tensor& t) {
  if (!t.defined() || t.size(-1) <= 1 || t.stride(-1) == 1) return t;
  return t.contiguous();
}

// View of a [batch, length, row] tensor with contiguous rows; null for an undefined tensor.
template <class T> Rows<const T> rows_of(const at::Tensor& t) {
  Rows<const T> r;
  if (t.defined())
    r.data = static_cast<const T*>(t.data_ptr()), r.batch_stride = t.stride(0), r.step_stride = t.stride(1);
  return r;
}
// The same to write to; its rows must be dense.
template <class T> Rows<T> rows_to_write(const at::Tensor& t) {
  Rows<T> r;
  if (t.defined()) r.data = static_cast<T*>(t.data_ptr()), r.batch_stride = t.stride(0), r.step_stride = t.stride(1);
  return r;
}
template <class T> T* data_or_null(const at::Tensor& t) {
  return t.defined() ? static_cast<T*>(t.data_ptr()) : nullptr;
}

}  // namespace mamba_prune
