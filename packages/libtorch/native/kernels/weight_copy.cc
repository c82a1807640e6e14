// mamba_prune::weight_copy: stands a low-precision copy in for its float32 master. Forward it is the copy, which costs
// nothing; backward the gradient goes to the master, converted to its type. Refreshing the copies is the caller's, and
// not between a forward pass and its backward pass.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "op_util.h"

namespace mamba_prune::weight_copy_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check(const Tensor& master, const Tensor& copy) {
  TORCH_CHECK(master.sizes() == copy.sizes() && master.device() == copy.device(), "weight_copy: got a copy of shape ",
              copy.sizes(), " on ", copy.device(), ", expected that of the weight, ", master.sizes(), " on ",
              master.device(), ". Make the copies again after the model was moved.");
}

class WeightCopy : public torch::autograd::Function<WeightCopy> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& master, const Tensor& copy) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["type"] = static_cast<int64_t>(master.scalar_type());
    // Another tensor over the same memory: an input returned as it is would become a view of the copy.
    return copy.detach();
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return variable_list(2);
    return {grads[0].to(static_cast<at::ScalarType>(ctx->saved_data["type"].toInt())), Tensor()};
  }
};

Tensor plain(const Tensor& master, const Tensor& copy) {
  check(master, copy);
  return copy.detach();
}
Tensor with_autograd(const Tensor& master, const Tensor& copy) {
  check(master, copy);
  if (any_requires_grad({master})) return WeightCopy::apply(master, copy);
  at::AutoDispatchBelowADInplaceOrView below;
  return copy.detach();
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) { m.def("weight_copy(Tensor master, Tensor copy) -> Tensor"); }
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("weight_copy", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("weight_copy", with_autograd); }

}  // namespace mamba_prune::weight_copy_op
