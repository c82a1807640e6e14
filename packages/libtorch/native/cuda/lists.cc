// mamba_prune::average_list_, norm_of_list and scale_list_: averages of parameters and the limit of the gradients'
// norm, for steps that are captured: what changes from step to step lies on the device.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "items.h"
#include "kernel.h"
#include "kernels/lists_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::lists_op {
namespace {

using at::Tensor;
using at::TensorList;
using lists_kernel::ListArgs;

void check_list(const char* op, TensorList list) {
  for (const Tensor& t : list) {
    check_shape(op, "a tensor", t, t.sizes(), at::kFloat, list[0]);
    TORCH_CHECK(t.numel() < (int64_t{1} << 31) - lists_kernel::kPerBlock, op, ": got a tensor of ", t.numel(),
                " elements, expected less than 2^31.");
  }
}

int64_t blocks_of(const Tensor& t) { return ceil_div(t.numel(), lists_kernel::kPerBlock); }

/**
 * Runs a kernel over lists.
 * @param to, from either may be empty, but not both
 * @param number of the kernel, or undefined
 * @param partial float32, one number for each block of all launches, or undefined
 */
void run(const char* function, TensorList to, TensorList from, const Tensor& number, const Tensor& partial) {
  const TensorList all = to.empty() ? from : to;
  const Kernel& kernel = find_kernel("lists.cu", function, {});
  ListArgs common{};
  common.number = float_pointer(number);
  const auto fill = [&](lists_kernel::Item& item, size_t i) {
    if (!to.empty()) item.to = float_pointer(to[i]);
    if (!from.empty()) item.from = float_pointer(from[i]);
    item.size = static_cast<int>(all[i].numel());
    return blocks_of(all[i]);
  };
  int64_t before = 0;  // blocks of the launches before
  launch_items(all.size(), common, fill, [&](ListArgs& a, int64_t blocks) {
    if (partial.defined()) a.partial = float_pointer(partial) + before;
    kernel.launch({u32(blocks)}, lists_kernel::kThreads, 0, a);
    before += blocks;
  });
  for (const Tensor& t : to) written(t);
}

void average(TensorList averages, TensorList values, const Tensor& decay) {
  const char* op = "average_list_";
  TORCH_CHECK(averages.size() == values.size(), op, ": got ", averages.size(), " averages and ", values.size(),
              " values, expected one of each.");
  if (averages.empty()) return;
  const c10::DeviceGuard guard(averages[0].device());
  check_list(op, averages);
  for (size_t i = 0; i < values.size(); i++)
    check_shape(op, "a value", values[i], averages[i].sizes(), at::kFloat, averages[0]);
  check_shape(op, "decay", decay, {}, at::kFloat, averages[0]);
  run("list_average", averages, values, decay, Tensor());
}

Tensor norm(TensorList list) {
  const char* op = "norm_of_list";
  TORCH_CHECK(!list.empty(), op, ": got no tensors, expected at least one.");
  const c10::DeviceGuard guard(list[0].device());
  check_list(op, list);
  int64_t blocks = 0;
  for (const Tensor& t : list) blocks += blocks_of(t);
  const Tensor partial = at::empty({blocks}, floats(list[0]));
  run("list_squares", {}, list, Tensor(), partial);
  return partial.sum().sqrt_();
}

void scale(TensorList list, const Tensor& factor) {
  const char* op = "scale_list_";
  if (list.empty()) return;
  const c10::DeviceGuard guard(list[0].device());
  check_list(op, list);
  check_shape(op, "factor", factor, {}, at::kFloat, list[0]);
  run("list_scale", list, {}, factor, Tensor());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("average_list_(Tensor(a!)[] averages, Tensor[] values, Tensor decay) -> ()");
  m.def("norm_of_list(Tensor[] list) -> Tensor");
  m.def("scale_list_(Tensor(a!)[] list, Tensor factor) -> ()");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("average_list_", average), m.impl("norm_of_list", norm), m.impl("scale_list_", scale);
}

}  // namespace mamba_prune::cuda::lists_op
