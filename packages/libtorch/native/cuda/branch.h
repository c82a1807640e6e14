// What the two fused branches of a block are to autograd: x, a normalisation, a list of float32 weights, and their
// packed copies in the type of x, which take no part in it. A Branch offers
//   static Branch read(x, norm_weight, norm_bias, eps, weights, packed)   checks, and knows all but x afterwards
//   Tensor forward(x, scale, Kept*) const                                keeps what backward needs where that is given
//   variable_list backward(x, scale, Kept, dout) const                   of x, norm weight, norm bias, then the weights
//   struct Kept { variable_list list() const; static Kept of(list) }
//   static constexpr const char* kName
#pragma once
#include <c10/core/DeviceGuard.h>

#include "../kernels/branch_saved.h"
#include "aside.h"
#include "layer_util.h"

namespace mamba_prune::cuda {

template <class Branch> struct BranchFunction : public torch::autograd::Function<BranchFunction<Branch>> {
  using Tensor = at::Tensor;
  using variable_list = torch::autograd::variable_list;
  using Context = torch::autograd::AutogradContext;

  static Tensor forward(Context* ctx, const Tensor& x, const Tensor& norm_weight, const OptionalTensor& norm_bias_,
                        double eps, at::TensorList weights, at::TensorList packed, const OptionalTensor& scale) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(x.device());
    const Tensor norm_bias = defined_or_empty(norm_bias_);
    typename Branch::Kept kept;
    const Tensor out = Branch::read(x, norm_weight, norm_bias, eps, weights.vec(), packed.vec())
                           .forward(x, defined_or_empty(scale), &kept);
    BranchSaved{x, norm_weight, norm_bias, defined_or_empty(scale), eps, weights.vec(), packed.vec(), kept.list()}.save(
        ctx);
    return out;
  }

  static variable_list backward(Context* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), Branch::kName,
                ": got backward with create_graph, expected first derivatives only.");
    const BranchSaved saved = BranchSaved::of(ctx);
    if (!grads[0].defined()) return saved.of_arguments({});
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(saved.x.device());
    return saved.of_arguments(
        Branch::read(saved.x, saved.norm_weight, saved.norm_bias, saved.eps, saved.weights, saved.packed)
            .backward(saved.x, saved.scale, Branch::Kept::of(saved.kept), aligned(grads[0])));
  }
};

/** Without gradients: nothing is kept. Also the entry below autograd (inference mode). */
template <class Branch> at::Tensor branch_plain(const at::Tensor& x_, const at::Tensor& norm_weight,
                                                const OptionalTensor& norm_bias, double eps, at::TensorList weights,
                                                at::TensorList packed, const OptionalTensor& scale) {
  const c10::DeviceGuard guard(x_.device());
  const at::Tensor x = aligned(x_);
  check_scale(Branch::kName, scale, x);
  return Branch::read(x, norm_weight, defined_or_empty(norm_bias), eps, weights.vec(), packed.vec())
      .forward(x, defined_or_empty(scale), nullptr);
}

template <class Branch> at::Tensor branch_with_autograd(const at::Tensor& x, const at::Tensor& norm_weight,
                                                        const OptionalTensor& norm_bias, double eps,
                                                        at::TensorList weights, at::TensorList packed,
                                                        const OptionalTensor& scale) {
  bool needed = any_requires_grad({x, norm_weight, defined_or_empty(norm_bias)});
  for (const at::Tensor& weight : weights) needed = needed || any_requires_grad({weight});
  if (!needed) {
    at::AutoDispatchBelowADInplaceOrView below;
    return branch_plain<Branch>(x, norm_weight, norm_bias, eps, weights, packed, scale);
  }
  check_scale(Branch::kName, scale, x);
  const OptionalTensor bias = optional(defined_or_empty(norm_bias));
  return BranchFunction<Branch>::apply(aligned(x), norm_weight, bias, eps, weights, packed, scale);
}

}  // namespace mamba_prune::cuda
