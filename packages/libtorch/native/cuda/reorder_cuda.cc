// reorder_tokens on CUDA.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "../kernels/reorder_tokens.h"
#include "kernel.h"
#include "reorder_cuda.h"

namespace mamba_prune::cuda {

at::Tensor reorder_tokens(const at::Tensor& given, int64_t side) {
  const c10::DeviceGuard guard(given.device());
  check_reorder_tokens(given, side);
  const at::Tensor x = given.contiguous(), y = at::empty_like(x);
  if (x.numel() == 0) return y;
  const int64_t bytes = x.size(2) * static_cast<int64_t>(x.element_size());
  // libtorch's memory begins at multiples of 512 bytes, a view of it anywhere.
  const int64_t start = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x.data_ptr()) % 16);
  int64_t unit = 16;
  while (bytes % unit != 0 || start % unit != 0) unit /= 2;
  const int64_t rows = x.size(0) * x.size(1), units = bytes / unit, blocks = (rows * units + 255) / 256;
  TORCH_CHECK(blocks < (int64_t{1} << 31), "reorder_tokens: got ", x.sizes(), ", expected fewer elements on a GPU. Split the batch.");
  find_kernel("reorder.cu", "reorder_tokens", {{"SCALAR", 0}, {"UNIT", unit}})
      .launch({static_cast<unsigned>(blocks)}, 256, 0, static_cast<const void*>(x.data_ptr()), y.data_ptr(), rows, static_cast<int>(units),
              static_cast<int>(x.size(1)), static_cast<int>(side));
  return y;
}

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("reorder_tokens", reorder_tokens); }

}  // namespace mamba_prune::cuda
