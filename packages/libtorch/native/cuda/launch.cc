// Launches of small kernels: GELU backward and the sums of rows. Those of the scan and of the convolution have files of
// their own.
#include "launch.h"

#include <algorithm>

#include "aside.h"
#include "gradient_batch.h"
#include "kernel.h"
#include "kernels/gelu_interface.h"
#include "kernels/reduce_interface.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

}  // namespace

int64_t scalar_code(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return MAMBA_PRUNE_FLOAT32;
    case at::kBFloat16: return MAMBA_PRUNE_BFLOAT16;
    case at::kHalf: return MAMBA_PRUNE_FLOAT16;
    default: TORCH_CHECK(false, "CUDA: got a tensor of type ", type, ", expected float32, float16 or bfloat16.");
  }
}

Tensor gelu_backward_(const Tensor& gradient, const Tensor& before) {
  const int64_t columns = gradient.size(-1), rows = gradient.numel() / columns;
  const int64_t vector = columns % 4 == 0 ? 4 : 1, across = ceil_div(columns, 32 * vector);
  const int64_t blocks = std::clamp<int64_t>(int64_t{8} * multiprocessors() / across, 1,
                                             std::max<int64_t>(1, ceil_div(rows, gelu_kernel::kWarps)));
  const Tensor partial = at::empty({blocks, columns}, floats(gradient));
  const Kernel& kernel =
      find_kernel("gelu.cu", "gelu_backward", {{"SCALAR", scalar_code(gradient.scalar_type())}, {"VECTOR", vector}});
  gelu_kernel::GeluArgs<void> a{};
  a.gradient = pointer(gradient), a.before = pointer(before), a.partial = float_pointer(partial);
  a.rows = static_cast<int>(rows), a.columns = static_cast<int>(columns);
  kernel.launch({u32(across), u32(blocks)}, gelu_kernel::kThreads, 0, a);
  return reduce_rows(partial);
}

Tensor reduce_rows(const Tensor& partial) {
  if (GradientBatch* batch = GradientBatch::current()) return batch->sum(partial);
  const int64_t rows = partial.size(0), columns = partial.size(1);
  const Tensor out = at::empty({columns}, partial.options());
  const Kernel& kernel = find_kernel("reduce.cu", "reduce_rows", {{"SCALAR", MAMBA_PRUNE_FLOAT32}});
  reduce_kernel::RowsArgs a{};
  a.partial = float_pointer(partial), a.out = float_pointer(out);
  a.rows = static_cast<int>(rows), a.columns = static_cast<int>(columns);
  aside([&] { kernel.launch({u32(ceil_div(columns, reduce_kernel::kColumns))}, reduce_kernel::kRowsThreads, 0, a); });
  if (Aside* beside = Aside::current()) beside->keep(partial);
  return out;
}

}  // namespace mamba_prune::cuda
