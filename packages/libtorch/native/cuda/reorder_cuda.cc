// reorder_tokens on CUDA.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "../kernels/reorder_tokens.h"
#include "kernel.h"
#include "kernels/reorder_interface.h"
#include "reorder_cuda.h"

namespace mamba_prune::cuda {

at::Tensor reorder_tokens(const at::Tensor& given, int64_t side) {
  const c10::DeviceGuard guard(given.device());
  check_reorder_tokens(given, side);
  const at::Tensor x = given.contiguous(), y = at::empty_like(x);
  if (x.numel() == 0) return y;
  const int64_t bytes = x.size(2) * static_cast<int64_t>(x.element_size());
  // libtorch's memory begins at multiples of 512 bytes, a view of it anywhere.
  const int64_t start = static_cast<int64_t>(reinterpret_cast<uintptr_t>(x.data_ptr()) % reorder_kernel::kMaxUnit);
  int64_t unit = reorder_kernel::kMaxUnit;
  while (bytes % unit != 0 || start % unit != 0) unit /= 2;
  constexpr int64_t threads = reorder_kernel::kThreads;
  const int64_t rows = x.size(0) * x.size(1), units = bytes / unit, blocks = (rows * units + threads - 1) / threads;
  TORCH_CHECK(blocks < (int64_t{1} << 31), "reorder_tokens: got ", x.sizes(),
              ", expected fewer elements on a GPU. Split the batch.");
  reorder_kernel::ReorderArgs<void> a{};
  a.from = x.data_ptr(), a.to = y.data_ptr(), a.rows = rows;
  a.units = static_cast<int>(units), a.length = static_cast<int>(x.size(1)), a.side = static_cast<int>(side);
  find_kernel("reorder.cu", "reorder_tokens", {{"SCALAR", MAMBA_PRUNE_FLOAT32}, {"UNIT", unit}})
      .launch({static_cast<unsigned>(blocks)}, threads, 0, a);
  return y;
}

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("reorder_tokens", reorder_tokens); }

}  // namespace mamba_prune::cuda
