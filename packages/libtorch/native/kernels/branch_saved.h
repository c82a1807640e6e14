// What the autograd functions of a whole branch keep from forward to backward, on the CPU and on a GPU.
#pragma once
#include <torch/csrc/autograd/custom_function.h>

namespace mamba_prune {

struct BranchSaved {
  using variable_list = torch::autograd::variable_list;
  using Context = torch::autograd::AutogradContext;

  at::Tensor x, norm_weight, norm_bias, scale;  // the latter two may be undefined
  double eps;
  // kept: what the branch itself asked for. packed: copies of the weights in another form, which take no part in
  // autograd.
  variable_list weights, packed, kept;

  void save(Context* ctx) const {
    variable_list all = {x, norm_weight, norm_bias, scale};
    for (const variable_list* list : {&weights, &packed, &kept}) all.insert(all.end(), list->begin(), list->end());
    ctx->save_for_backward(all);
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["weights"] = static_cast<int64_t>(weights.size());
    ctx->saved_data["packed"] = static_cast<int64_t>(packed.size());
  }

  static BranchSaved of(Context* ctx) {
    const variable_list all = ctx->get_saved_variables();
    const auto first = all.begin() + 4, middle = first + ctx->saved_data["weights"].toInt(),
               last = middle + ctx->saved_data["packed"].toInt();
    return {all[0],          all[1],         all[2],           all[3], ctx->saved_data["eps"].toDouble(),
            {first, middle}, {middle, last}, {last, all.end()}};
  }

  /**
   * One gradient for each argument of forward: x, norm weight, norm bias, eps, the weights, the packed copies, scale.
   * @param of_tensors of x, norm weight, norm bias, then the weights; empty: none of anything
   */
  variable_list of_arguments(const variable_list& of_tensors) const {
    variable_list all(4 + weights.size() + packed.size() + 1);
    for (size_t i = 0; i < of_tensors.size(); i++) all[i < 3 ? i : i + 1] = of_tensors[i];  // eps has none
    return all;
  }
};

}  // namespace mamba_prune
