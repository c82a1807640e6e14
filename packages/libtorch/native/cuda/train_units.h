// The weights of branches in the order in which the kernels that train read them (kernels/train_units.cu).
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "kernels/train_units_interface.h"

namespace mamba_prune::cuda {

/** Collects weights of any number of branches of one d_model, and packs them in a launch or a few. */
class TrainUnits {
 public:
  using Kind = train_units_kernel::Kind;
  TrainUnits(int64_t model, at::ScalarType type) : model_(model), type_(type) {}
  /** @param weight [width, model] */
  void in_proj(const at::Tensor& weight, const at::Tensor& units);
  /** @param fc1 [width, model] @param bias1 float32 [neurons] @param fc2 [model, width] */
  void mlp(const at::Tensor& fc1, const at::Tensor& bias1, const at::Tensor& fc2, const at::Tensor& units);
  /** @param x_proj [columns, width] @param dt_proj [width, rank] */
  void projections(const at::Tensor& x_proj, const at::Tensor& dt_proj, const at::Tensor& panels);
  /** Allocates nothing. What was given must live so long. */
  void pack() const;

 private:
  struct Item {
    train_units_kernel::Item<void> of;
    int64_t blocks;
  };
  int64_t model_;
  at::ScalarType type_;
  std::vector<Item> items_;
};

}  // namespace mamba_prune::cuda
