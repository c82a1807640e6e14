// The MLP branch of a block, for the operators that run it alone or a whole stack of blocks.
#pragma once
#include "branch.h"
#include "mlp_train.h"

namespace mamba_prune::cuda::mlp_block_op {

using at::Tensor;
using torch::autograd::variable_list;

constexpr size_t kWeights = 4;

/** The MLP branch of a block; see branch.h. */
struct Mlp {
  // before: fc1's result with its bias. Where the kernels of mlp_train.h run there is nothing but their packed weights.
  struct Kept {
    Tensor n, before, hidden, units;
    variable_list list() const { return {n, before, hidden, units}; }
    static Kept of(const variable_list& all) { return {all[0], all[1], all[2], all[3]}; }
  };
  static constexpr const char* kName = "mlp_block";
  static Mlp read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                  const variable_list& weights, const variable_list& packed);
  Tensor forward(const Tensor& x, const Tensor& scale, Kept* keep) const;
  variable_list backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) const;

  MlpTrain fused(const Tensor& scale) const {
    return {norm_weight, norm_bias, eps, fc1, fc2, master_bias1, master_bias2, scale};
  }

  Tensor norm_weight, norm_bias;
  double eps = 0;
  Tensor master_bias1, master_bias2;
  // The products' weights and biases in the type of the activations, padded.
  Tensor fc1, bias1, fc2, bias2;
  Tensor units;  // of the kernels of mlp_train.h, where somebody keeps them
  int64_t neurons = 0, width = 0, model = 0;
};

}  // namespace mamba_prune::cuda::mlp_block_op
