// The SSM branch of a block, for the operators that run it alone or a whole stack of blocks.
#pragma once
#include "branch.h"
#include "in_proj_train.h"
#include "projections.h"

namespace mamba_prune::cuda::ssm_block_op {

using at::Tensor;
using torch::autograd::variable_list;

constexpr size_t kShared = 2, kPerDirection = 7, kPackedPerDirection = 2;

// One scan direction: parameters in float32, and the products' weights in the type of the activations, padded.
struct Direction {
  Tensor conv_weight, conv_bias, x_proj, dt_weight, dt_bias, A_log, D;
  Tensor packed_x, packed_dt;
  Tensor panels;  // of the kernels of projections.h, where somebody keeps them
};

// What the backward pass needs of the forward pass.
struct Kept {
  Tensor n, xz, y, units;  // units: in_proj's weights, where the kernels of in_proj_train.h run
  struct Scanned {
    Tensor u, projected, delta, checkpoints, panels;  // panels: weights, where the kernels of projections.h run
  };
  std::vector<Scanned> scans;

  variable_list list() const {
    variable_list all = {n, xz, y, units};
    for (const Scanned& s : scans) all.insert(all.end(), {s.u, s.projected, s.delta, s.checkpoints, s.panels});
    return all;
  }
  static Kept of(const variable_list& all) {
    Kept kept{all[0], all[1], all[2], all[3], {}};
    for (size_t at = 4; at < all.size(); at += 5)
      kept.scans.push_back({all[at], all[at + 1], all[at + 2], all[at + 3], all[at + 4]});
    return kept;
  }
};

/**
 * The SSM branch of a block; see branch.h. Without a bias its normalisation is RMSNorm, and x, the residual stream, is
 * float32 whatever the type of the branch.
 */
struct Block {
  using Kept = ssm_block_op::Kept;
  static constexpr const char* kName = "ssm_block";
  static Block read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                    const variable_list& weights, const variable_list& packed);
  Tensor forward(const Tensor& x, const Tensor& scale, Kept* keep) const;
  /** in_proj of norm(x): kept.xz, and kept.n where it is to be kept. */
  void begin(const Tensor& x, Kept& kept, bool keep) const;
  /** The rest, from kept.xz on; x is the residual. */
  Tensor finish(const Tensor& x, const Tensor& scale, Kept& kept, bool keep) const;
  variable_list backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) const;

  Tensor normed(const Tensor& x) const;
  bool scans_in_tiles() const;
  /** u and projected of every direction; delta where it is kept, or where the scan does not make it. */
  std::vector<Kept::Scanned> inputs(const Tensor& xz, bool keep) const;
  InProjTrain in_projection() const { return {norm_weight, norm_bias, eps, packed_in}; }

  Tensor norm_weight, norm_bias;
  double eps = 0;
  at::ScalarType type = at::kFloat;  // of the packed weights and of what the branch computes
  Tensor in_proj, out_proj, packed_in, packed_out;
  Tensor units;  // of the kernels of in_proj_train.h, where somebody keeps them
  std::vector<Direction> directions;
  // channels and their padding; dt_rank and its padding; states; columns of x_proj's result
  int64_t channels = 0, width = 0, rank = 0, rank_width = 0, states = 0, columns = 0, model = 0;
};

}  // namespace mamba_prune::cuda::ssm_block_op
