// mamba_prune::sgd_steps_: gradient descent with momentum for lists of parameters, whose learning rate lies on the
// device, so that a captured step reads it anew.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "items.h"
#include "kernel.h"
#include "kernels/sgd_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::sgd_op {
namespace {

using at::Tensor;
using at::TensorList;
using sgd_kernel::SgdArgs;

constexpr const char* kName = "sgd_steps_";

void check(TensorList params, TensorList grads, TensorList velocity, const Tensor& rate, const Tensor& skip) {
  TORCH_CHECK(grads.size() == params.size() && (velocity.empty() || velocity.size() == params.size()), kName, ": got ",
              params.size(), " parameters, ", grads.size(), " gradients and ", velocity.size(),
              " running sums, expected one of each, or no running sums.");
  const Tensor& first = params[0];
  check_shape(kName, "rate", rate, {}, at::kFloat, first);
  if (skip.defined()) check_shape(kName, "skip", skip, {}, at::kFloat, first);
  for (size_t i = 0; i < params.size(); i++) {
    const at::IntArrayRef shape = params[i].sizes();
    TORCH_CHECK(params[i].numel() < (int64_t{1} << 31) - sgd_kernel::kPerBlock, kName, ": got a parameter of ",
                params[i].numel(), " elements, expected less than 2^31.");
    check_shape(kName, "a parameter", params[i], shape, at::kFloat, first);
    check_shape(kName, "a gradient", grads[i], shape, at::kFloat, first);
    if (!velocity.empty()) check_shape(kName, "momentum_buffer", velocity[i], shape, at::kFloat, first);
  }
}

void step(TensorList params, TensorList grads, TensorList velocity, const Tensor& rate, const OptionalTensor& skip_,
          double momentum, double weight_decay, bool nesterov) {
  if (params.empty()) return;
  const Tensor skip = defined_or_empty(skip_);
  check(params, grads, velocity, rate, skip);
  const c10::DeviceGuard guard(params[0].device());
  const Kernel& kernel = find_kernel("sgd.cu", "sgd", {});
  SgdArgs common{};
  common.rate = float_pointer(rate), common.skip = float_pointer(skip);
  common.momentum = static_cast<float>(momentum), common.decay = static_cast<float>(weight_decay);
  common.nesterov = nesterov;
  const auto fill = [&](sgd_kernel::Parameter& p, size_t i) {
    p.param = float_pointer(params[i]), p.grad = float_pointer(grads[i]);
    if (!velocity.empty()) p.velocity = float_pointer(velocity[i]);
    p.size = static_cast<int>(params[i].numel());
    return ceil_div(params[i].numel(), sgd_kernel::kPerBlock);
  };
  launch_items(params.size(), common, fill,
               [&](const SgdArgs& a, int64_t blocks) { kernel.launch({u32(blocks)}, sgd_kernel::kThreads, 0, a); });
  for (const TensorList list : {params, velocity})
    for (const Tensor& t : list) written(t);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "sgd_steps_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] momentum_buffers, Tensor rate, Tensor? skip, float "
      "momentum, float weight_decay, bool nesterov) -> ()");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("sgd_steps_", step); }

}  // namespace mamba_prune::cuda::sgd_op
