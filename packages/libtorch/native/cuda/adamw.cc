// mamba_prune::adamw_steps_: Adam with decoupled weight decay for lists of parameters, whose learning rate and step
// counts lie on the device, so that a captured step reads them anew.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "items.h"
#include "kernel.h"
#include "kernels/adamw_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::adamw_op {
namespace {

using adamw_kernel::AdamWArgs;
using at::Tensor;
using at::TensorList;

constexpr const char* kName = "adamw_steps_";

void check(TensorList params, TensorList grads, TensorList average, TensorList square, TensorList counts,
           const Tensor& rate, const Tensor& skip) {
  for (const TensorList list : {grads, average, square, counts})
    TORCH_CHECK(list.size() == params.size(), kName, ": got ", params.size(), " parameters and ", list.size(),
                " tensors in another list, expected one of each.");
  const Tensor& first = params[0];
  check_shape(kName, "rate", rate, {}, at::kFloat, first);
  if (skip.defined()) check_shape(kName, "skip", skip, {}, at::kFloat, first);
  for (size_t i = 0; i < params.size(); i++) {
    const at::IntArrayRef shape = params[i].sizes();
    TORCH_CHECK(params[i].numel() < (int64_t{1} << 31) - adamw_kernel::kPerBlock, kName, ": got a parameter of ",
                params[i].numel(), " elements, expected less than 2^31.");
    check_shape(kName, "a parameter", params[i], shape, at::kFloat, first);
    check_shape(kName, "a gradient", grads[i], shape, at::kFloat, first);
    check_shape(kName, "exp_avg", average[i], shape, at::kFloat, first);
    check_shape(kName, "exp_avg_sq", square[i], shape, at::kFloat, first);
    check_shape(kName, "a count", counts[i], {}, at::kFloat, first);
  }
}

void step(TensorList params, TensorList grads, TensorList average, TensorList square, TensorList counts,
          const Tensor& rate, const OptionalTensor& skip_, double beta1, double beta2, double eps,
          double weight_decay) {
  if (params.empty()) return;
  const Tensor skip = defined_or_empty(skip_);
  check(params, grads, average, square, counts, rate, skip);
  const c10::DeviceGuard guard(params[0].device());
  const Kernel& kernel = find_kernel("adamw.cu", "adamw", {});
  AdamWArgs common{};
  common.rate = float_pointer(rate), common.skip = float_pointer(skip);
  common.beta1 = beta1, common.beta2 = beta2, common.decay = weight_decay, common.eps = static_cast<float>(eps);
  const auto fill = [&](adamw_kernel::Parameter& p, size_t i) {
    p.param = float_pointer(params[i]), p.grad = float_pointer(grads[i]), p.count = float_pointer(counts[i]);
    p.average = float_pointer(average[i]), p.square = float_pointer(square[i]);
    p.size = static_cast<int>(params[i].numel());
    return ceil_div(params[i].numel(), adamw_kernel::kPerBlock);
  };
  launch_items(params.size(), common, fill,
               [&](const AdamWArgs& a, int64_t blocks) { kernel.launch({u32(blocks)}, adamw_kernel::kThreads, 0, a); });
  for (const TensorList list : {params, average, square})
    for (const Tensor& t : list) written(t);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "adamw_steps_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avg, Tensor(c!)[] exp_avg_sq, Tensor[] "
      "counts, Tensor rate, Tensor? skip, float beta1, float beta2, float eps, float weight_decay) -> ()");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("adamw_steps_", step); }

}  // namespace mamba_prune::cuda::adamw_op
