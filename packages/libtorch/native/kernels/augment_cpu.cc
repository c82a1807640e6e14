// The CPU's augment_batch: the source of the CUDA kernel, compiled as C++, a thread for each image.
#include <ATen/Parallel.h>
#include <math.h>
#include <torch/library.h>

#include <memory>

#include "augment_op.h"
#include "../cuda/kernels/augment.cu"

namespace mamba_prune::augment_op {
namespace {

void run_on_cpu(augment::AugmentArgs a, const Tensor& state, bool advance) {
  const int64_t bytes = a.canvases * static_cast<int64_t>(a.channels) * a.height * a.width;
  at::parallel_for(0, a.batch, 1, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<augment::u8[]> canvases(new augment::u8[static_cast<size_t>(bytes)]);
    augment::Shared shared;
    for (int64_t row = begin; row < end; row++) augment::make_row(a, row, canvases.get(), shared, {0, 1});
  });
  if (!advance) return;
  int64_t* step = static_cast<int64_t*>(state.data_ptr()) + 2;
  *step = static_cast<int64_t>(static_cast<uint64_t>(*step) + 1);
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("augment_batch", AugmentOp<run_on_cpu>::made);
  m.impl("augment_batch_", AugmentOp<run_on_cpu>::into);
}

}  // namespace mamba_prune::augment_op
