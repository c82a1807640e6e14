// What the operators of a whole branch on the CPU are to autograd: x, LayerNorm in front, a list of weights, and a
// factor of the branch for each sample. A Branch offers
//   static Branch read(x, norm weight, norm bias, eps, weights)   checks, and knows all but x afterwards
//   Tensor forward(x, scale, Kept*) const                         keeps what backward needs where that is given
//   variable_list backward(x, scale, Kept, dout, needed) const    of x, norm weight, norm bias, then the weights; those
//                                                                 that are not needed may stay undefined
//   struct Kept { variable_list list() const; static Kept of(list) }
//   static constexpr const char* kName
#pragma once
#include <vector>

#include "branch_saved.h"
#include "op_util.h"
#include "stage_times.h"

namespace mamba_prune::branch_op {

using torch::autograd::variable_list;

inline void check_scale(const char* op, const at::Tensor& scale, const at::Tensor& x) {
  check_tensor(op, "scale", scale, {x.size(0)}, "[batch]", x);
  TORCH_CHECK(!scale.defined() || !scale.requires_grad(), op,
              ": got a scale that requires a gradient, expected none. It is a constant of the step.");
}

template <class Branch> struct BranchFunction : public torch::autograd::Function<BranchFunction<Branch>> {
  using Tensor = at::Tensor;
  using Context = torch::autograd::AutogradContext;

  static Tensor forward(Context* ctx, const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                        at::TensorList weights, const OptionalTensor& scale_) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor scale = defined_or_empty(scale_);
    const Branch branch = Branch::read(x, norm_weight, norm_bias, eps, weights.vec());
    typename Branch::Kept kept;
    const Tensor out = branch.forward(x, scale, &kept);
    BranchSaved{x, norm_weight, norm_bias, scale, eps, weights.vec(), {}, kept.list()}.save(ctx);
    return out;
  }

  static variable_list backward(Context* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), Branch::kName,
                ": got backward with create_graph, expected first derivatives only. Second derivatives are not "
                "implemented; call backward without create_graph.");
    const BranchSaved saved = BranchSaved::of(ctx);
    if (!grads[0].defined()) return saved.of_arguments({});
    at::AutoDispatchBelowADInplaceOrView below;
    std::vector<bool> needed;
    for (const Tensor& weight : saved.weights) needed.push_back(weight.requires_grad());
    return saved.of_arguments(
        Branch::read(saved.x, saved.norm_weight, saved.norm_bias, saved.eps, saved.weights)
            .backward(saved.x, saved.scale, Branch::Kept::of(saved.kept), grads[0].contiguous(), needed));
  }
};

/** Without gradients: nothing is kept. Also the entry below autograd (inference mode). */
template <class Branch> at::Tensor branch_plain(const at::Tensor& x_, const at::Tensor& norm_weight,
                                                const at::Tensor& norm_bias, double eps, at::TensorList weights,
                                                const OptionalTensor& scale) {
  const at::Tensor x = x_.contiguous();
  const Branch branch = Branch::read(x, norm_weight, norm_bias, eps, weights.vec());
  check_scale(Branch::kName, defined_or_empty(scale), x);
  return branch.forward(x, defined_or_empty(scale), nullptr);
}

template <class Branch> at::Tensor branch_with_autograd(const at::Tensor& x, const at::Tensor& norm_weight,
                                                        const at::Tensor& norm_bias, double eps, at::TensorList weights,
                                                        const OptionalTensor& scale) {
  bool wanted = any_requires_grad({x, norm_weight, norm_bias});
  for (const at::Tensor& weight : weights) wanted = wanted || any_requires_grad({weight});
  if (!wanted) {
    at::AutoDispatchBelowADInplaceOrView below;
    return branch_plain<Branch>(x, norm_weight, norm_bias, eps, weights, scale);
  }
  Branch::read(x, norm_weight, norm_bias, eps, weights.vec());
  check_scale(Branch::kName, defined_or_empty(scale), x);
  return BranchFunction<Branch>::apply(x.contiguous(), norm_weight, norm_bias, eps, weights,
                                       optional(defined_or_empty(scale)));
}

}  // namespace mamba_prune::branch_op
