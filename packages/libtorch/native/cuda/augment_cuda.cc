// augment_batch on CUDA: how many blocks, where their pictures lie, and the launch.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <algorithm>

#include "../kernels/augment_op.h"
#include "kernel.h"

namespace mamba_prune::augment_op {
namespace {

// Below what a block gets without asking; the kernel's own variables take 2 KB.
constexpr int64_t kSharedBytes = 40 * 1024;
// With pictures in global memory: enough blocks for every multiprocessor, few enough for the memory of their canvases.
constexpr int64_t kScratchBlocks = 512;

void run_on_cuda(augment::AugmentArgs a, const Tensor& state, bool advance) {
  const c10::DeviceGuard guard(state.device());
  const int64_t bytes = a.canvases * static_cast<int64_t>(a.channels) * a.height * a.width;
  const bool shared = bytes <= kSharedBytes;
  const int64_t blocks = shared ? a.batch : std::min<int64_t>(a.batch, kScratchBlocks);
  Tensor scratch;  // freed on return: the allocator keeps it for this stream, where the kernel comes first
  if (!shared) {
    scratch = at::empty({blocks * bytes}, state.options().dtype(at::kByte));
    a.scratch = static_cast<augment::u8*>(scratch.data_ptr());
  }
  const char* file = "augment.cu";
  const cuda::Grid grid{static_cast<unsigned>(blocks)};
  cuda::find_kernel(file, "augment_batch", {})
      .launch(grid, augment::kThreads, shared ? static_cast<unsigned>(bytes) : 0u, a);
  augment::i64* counters = static_cast<augment::i64*>(state.data_ptr());
  if (advance) cuda::find_kernel(file, "augment_advance", {}).launch(cuda::Grid{1}, 1, 0, counters);
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("augment_batch", AugmentOp<run_on_cuda>::made);
  m.impl("augment_batch_", AugmentOp<run_on_cuda>::into);
}

}  // namespace mamba_prune::augment_op
