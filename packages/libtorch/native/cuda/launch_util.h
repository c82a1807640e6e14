// What the files that launch kernels share.
#pragma once
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>

#include <initializer_list>

#include "gemm.h"

namespace mamba_prune::cuda {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline unsigned u32(int64_t v) { return static_cast<unsigned>(v); }
inline int multiprocessors() { return at::cuda::getCurrentDeviceProperties()->multiProcessorCount; }
inline void* pointer(const at::Tensor& t) { return t.defined() ? t.data_ptr() : nullptr; }
inline float* float_pointer(const at::Tensor& t) { return static_cast<float*>(pointer(t)); }
inline at::TensorOptions floats(const at::Tensor& like) { return like.options().dtype(at::kFloat); }

/** Distance of the rows of a sequence, in elements; 0 without a tensor. */
inline int row(const at::Tensor& t) {
  if (!t.defined()) return 0;
  const int64_t stride = mat(t).stride;
  TORCH_CHECK(stride * t.size(1) < (int64_t{1} << 31), "CUDA: got rows at a distance of ", stride, " and sequences of ",
              t.size(1), ", expected less than 2^31 elements a sequence.");
  return static_cast<int>(stride);
}

/** Elements moved at once: a power of two, up to `most`, where every row begins at so many and is so many long. */
inline int64_t vector_of(std::initializer_list<at::Tensor> tensors, int64_t width, int64_t most = 2) {
  int64_t vector = most;
  while (width % vector != 0) vector /= 2;
  for (const at::Tensor& t : tensors) {
    if (!t.defined()) continue;
    const auto at_place = [&] {
      const auto bytes = static_cast<uintptr_t>(vector * t.element_size());
      return mat(t).stride % vector == 0 && reinterpret_cast<uintptr_t>(t.data_ptr()) % bytes == 0;
    };
    while (!at_place()) vector /= 2;
  }
  return vector;
}

}  // namespace mamba_prune::cuda
