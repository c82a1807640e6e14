// The weights of a block in the order in which kernels/cluster_blocks.cu reads them.
#pragma once
#include <ATen/ATen.h>

#include <vector>

namespace mamba_prune::cuda::cluster_op {

/**
 * The float32 parameters of one block, of one direction: both normalisations' weights and biases, then those of
 * ssm_block (in_proj, out_proj, conv1d with its bias, x_proj, dt_proj with its bias, A_log, D), then those of
 * mlp_block.
 */
struct Block {
  /** @param weights `kWeights` of them */
  explicit Block(at::TensorList weights);
  static constexpr size_t kWeights = 17;

  at::Tensor norm1_weight, norm1_bias, norm2_weight, norm2_bias;
  at::Tensor in_proj, out_proj, conv_weight, conv_bias, x_proj, dt_weight, dt_bias, A_log, D;
  at::Tensor fc1, bias1, fc2, bias2;

  int64_t model() const { return fc1.size(1); }
  int64_t channels() const { return out_proj.size(1); }
  int64_t neurons() const { return fc1.size(0); }
  int64_t states() const { return A_log.size(1); }
  int64_t rank() const { return dt_weight.size(1); }
  int64_t taps() const { return conv_weight.size(2); }
  /** Throws c10::Error in the name of an operator where a shape or a type does not fit the others. */
  void check(const char* op) const;
};

/**
 * Weights and biases of the normalisations are multiplied into the products that follow them; slices and sizes are
 * filled up with zeros.
 * @param cluster how many multiprocessors share an image
 * @param groups of them that share the tokens for the MLP: each has all neurons
 * @param type of the products
 * @return uint8 [bytes]: the SSM's part of each multiprocessor, then the MLP's of each of a group
 */
at::Tensor packed(const Block& block, int64_t cluster, int64_t groups, at::ScalarType type);

}  // namespace mamba_prune::cuda::cluster_op
