// mamba_prune::branch_units and mamba_prune::pack_branch_units: whoever keeps 16-bit copies of all blocks' weights
// keeps them in the order of the kernels that train, too, and packs them once a step in one launch.
#include "train_units.h"

#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "fused_mlp.h"
#include "in_proj_train.h"
#include "items.h"
#include "kernel.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"
#include "mlp_train.h"
#include "projections.h"

namespace mamba_prune::cuda {

using at::Tensor;
using namespace train_units_kernel;

void TrainUnits::in_proj(const Tensor& weight, const Tensor& units) {
  train_units_kernel::Item<void> p{};
  p.kind = kInProj, p.first = pointer(weight), p.to = static_cast<unsigned char*>(units.data_ptr());
  p.width = static_cast<int>(weight.size(0));
  items_.push_back({p, units.size(0)});
}

void TrainUnits::mlp(const Tensor& fc1, const Tensor& bias1, const Tensor& fc2, const Tensor& units) {
  train_units_kernel::Item<void> p{};
  p.kind = kMlp, p.first = pointer(fc1), p.second = pointer(fc2), p.bias = float_pointer(bias1);
  p.to = static_cast<unsigned char*>(units.data_ptr());
  p.width = static_cast<int>(fc1.size(0)), p.neurons = static_cast<int>(bias1.numel());
  items_.push_back({p, units.size(0)});
}

void TrainUnits::projections(const Tensor& x_proj, const Tensor& dt_proj, const Tensor& panels) {
  train_units_kernel::Item<void> p{};
  p.kind = kProjections, p.first = pointer(x_proj), p.second = pointer(dt_proj);
  p.to = static_cast<unsigned char*>(panels.data_ptr());
  p.width = static_cast<int>(x_proj.size(1));
  items_.push_back({p, ceil_div(x_proj.size(1), proj_kernel::kTile)});
}

void TrainUnits::pack() const {
  const auto fill = [&](train_units_kernel::Item<void>& p, size_t i) {
    p = items_[i].of;
    return items_[i].blocks * kShares;
  };
  launch_items(items_.size(), ItemsArgs<void>{}, fill, [&](const ItemsArgs<void>& a, int64_t blocks) {
    find_kernel("train_units.cu", "train_units",
                {{"SCALAR", scalar_code(type_)}, {"MODEL", model_}, {"GROUPS", 1}, {"CLUSTER", 1}, {"STAGES", 1}})
        .launch({u32(blocks)}, train_units_kernel::kThreads, 0, a);
  });
}

namespace {

constexpr size_t kMlpWeights = 3;  // of a block's list: fc1 and fc2 as packed, the bias of fc1 in float32

// The packed weights of one block, as the operators below are given them: in_proj, then x_proj and dt_proj of each
// direction.
struct OfBlock {
  const Tensor* ssm;
  size_t directions;
  const Tensor* mlp;
};

bool runs(const OfBlock& b) {
  const Tensor &in_proj = b.ssm[0], &fc1 = b.mlp[0];
  const auto type = in_proj.scalar_type();
  return mlp_train_runs(in_proj.size(1), in_proj.size(0) / 2, type) && mlp_train_runs(fc1.size(1), fc1.size(0), type);
}

std::vector<Tensor> branch_units(at::TensorList ssm_, at::TensorList mlp_, int64_t states) {
  const char* op = "branch_units";
  const std::vector<Tensor> ssm = ssm_.vec(), mlp = mlp_.vec();
  TORCH_CHECK(ssm.size() % 2 == 1 && mlp.size() == kMlpWeights, op, ": got ", ssm.size(), " and ", mlp.size(),
              " weights, expected in_proj with x_proj and dt_proj of each direction, and ", kMlpWeights, ".");
  for (const Tensor& t : ssm)
    TORCH_CHECK(t.dim() == 2, op, ": got weights of shape ", t.sizes(), ", expected matrices.");
  TORCH_CHECK(mlp[0].dim() == 2, op, ": got fc1 of shape ", mlp[0].sizes(), ", expected a matrix.");
  const c10::DeviceGuard guard(ssm[0].device());
  const OfBlock b{ssm.data(), ssm.size() / 2, mlp.data()};
  if (!runs(b)) return {};
  const int model = static_cast<int>(ssm[0].size(1));
  const auto room = [&](int64_t count) {
    return at::empty({count, mlp_kernel::unit_bytes(model)}, ssm[0].options().dtype(at::kByte));
  };
  std::vector<Tensor> units = {room(ceil_div(ssm[0].size(0), mlp_kernel::kTile))};
  for (size_t i = 0; i < b.directions; i++) {
    const Tensor &x_proj = ssm[1 + 2 * i], &dt_proj = ssm[2 + 2 * i];
    const ProjSizes sizes{x_proj.size(1), dt_proj.size(1), states, x_proj.size(0)};
    units.push_back(projections_run(sizes, x_proj.scalar_type()) ? proj_panels(x_proj)
                                                                 : at::empty({0}, units[0].options()));
  }
  units.push_back(room(2 * ceil_div(mlp[0].size(0), mlp_kernel::kTile)));
  return units;
}

// Of `blocks` blocks, the lists of which are behind each other.
void pack_branch_units(at::TensorList ssm_, at::TensorList mlp_, at::TensorList units_, int64_t blocks_) {
  const char* op = "pack_branch_units";
  const std::vector<Tensor> ssm = ssm_.vec(), mlp = mlp_.vec(), units = units_.vec();
  const auto blocks = static_cast<size_t>(blocks_);
  TORCH_CHECK(
      blocks > 0 && ssm.size() % blocks == 0 && mlp.size() == kMlpWeights * blocks && units.size() % blocks == 0, op,
      ": got ", ssm.size(), ", ", mlp.size(), " and ", units.size(), " tensors of ", blocks_, " blocks.");
  const size_t of_ssm = ssm.size() / blocks, directions = of_ssm / 2, of_units = units.size() / blocks;
  TORCH_CHECK(of_ssm % 2 == 1 && of_units == directions + 2, op, ": got ", of_ssm, " weights and ", of_units,
              " units a block, expected those that branch_units made.");
  const c10::DeviceGuard guard(ssm[0].device());
  TrainUnits all(ssm[0].size(1), ssm[0].scalar_type());
  for (size_t i = 0; i < blocks; i++) {
    const Tensor *from = &ssm[i * of_ssm], *to = &units[i * of_units], *weights = &mlp[i * kMlpWeights];
    const int64_t model = ssm[0].size(1), width = weights[0].size(0);
    check_shape(op, "in_proj", from[0], {from[0].size(0), model}, ssm[0].scalar_type(), ssm[0]);
    check_shape(op, "fc1", weights[0], {width, model}, ssm[0].scalar_type(), ssm[0]);
    check_shape(op, "fc2", weights[1], {model, width}, ssm[0].scalar_type(), ssm[0]);
    check_shape(op, "fc1 bias", weights[2], {weights[2].numel()}, at::kFloat, ssm[0]);
    all.in_proj(from[0], to[0]);
    for (size_t d = 0; d < directions; d++)
      if (to[1 + d].numel() > 0) all.projections(from[1 + 2 * d], from[2 + 2 * d], to[1 + d]);
    all.mlp(weights[0], weights[2], weights[1], to[1 + directions]);
  }
  all.pack();
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("branch_units(Tensor[] ssm, Tensor[] mlp, int states) -> Tensor[]");
  m.def("pack_branch_units(Tensor[] ssm, Tensor[] mlp, Tensor(a!)[] units, int blocks) -> ()");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("branch_units", branch_units), m.impl("pack_branch_units", pack_branch_units);
}

}  // namespace mamba_prune::cuda
