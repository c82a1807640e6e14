// The MLP branch of a block, for the operators that run it alone or a whole stack of blocks.
#pragma once
#include "branch.h"

namespace mamba_prune::cuda::mlp_block_op {

using at::Tensor;
using torch::autograd::variable_list;

constexpr size_t kWeights = 4;

/** The MLP branch of a block; see branch.h. */
struct Mlp {
  // before: fc1's result with its bias.
  struct Kept {
    Tensor n, before, hidden;
    variable_list list() const { return {n, before, hidden}; }
    static Kept of(const variable_list& all) { return {all[0], all[1], all[2]}; }
  };
  static constexpr const char* kName = "mlp_block";
  static Mlp read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                  const variable_list& weights, const variable_list& packed);
  Tensor forward(const Tensor& x, const Tensor& scale, Kept* keep) const;
  variable_list backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) const;

  Tensor norm_weight, norm_bias;
  double eps = 0;
  // The products' weights and biases in the type of the activations, padded.
  Tensor fc1, bias1, fc2, bias2;
  int64_t neurons = 0, width = 0, model = 0;
};

}  // namespace mamba_prune::cuda::mlp_block_op
