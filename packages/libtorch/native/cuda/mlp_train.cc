#include "mlp_train.h"

#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "fused_mlp.h"
#include "kernel.h"
#include "kernels/mlp_train_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
using TrainArgs = mlp_train_kernel::TrainArgs<void>;
using PackArgs = mlp_train_kernel::PackArgs<void>;

// Backward as many as fit beside the rows of two warpgroups.
constexpr int64_t kTrainStages = 5;

int64_t neuron_units(const MlpTrain& m) { return ceil_div(m.fc1.size(0), mlp_kernel::kTile); }

Defines defines_of_train(const MlpTrain& m, int64_t groups) {
  return {{"SCALAR", scalar_code(m.fc1.scalar_type())},
          {"MODEL", m.fc1.size(1)},
          {"GROUPS", groups},
          {"CLUSTER", cluster_of(groups)},
          {"SCALED", m.scale.defined()},
          {"STAGES", kTrainStages}};
}

TrainArgs train_args_of(const MlpTrain& m, const Tensor& units, const Tensor& x) {
  TrainArgs a{};
  a.x = pointer(x), a.units = static_cast<const unsigned char*>(units.data_ptr());
  a.norm_weight = float_pointer(m.norm_weight), a.norm_bias = float_pointer(m.norm_bias),
  a.bias2 = float_pointer(m.bias2);
  a.rows = static_cast<int>(x.numel() / x.size(-1)), a.neuron_units = static_cast<int>(neuron_units(m));
  a.scale = float_pointer(m.scale), a.length = static_cast<int>(x.size(1));
  a.width = static_cast<int>(m.fc1.size(0)), a.eps = static_cast<float>(m.eps);
  return a;
}

void run_train(const char* function, const MlpTrain& m, const TrainArgs& a, int64_t groups, int64_t tile_bytes) {
  const int model = static_cast<int>(m.fc1.size(1));
  // The first unit begins at a multiple of the alignment.
  const int64_t shared = kTrainStages * mlp_kernel::unit_bytes(model) + mlp_kernel::kAlignment + groups * tile_bytes;
  find_kernel("mlp_train.cu", function, defines_of_train(m, groups))
      .launch({u32(blocks_for(a.rows))}, u32(mlp_kernel::threads_of(static_cast<int>(groups))), u32(shared), a);
}

}  // namespace

// Rows of `width` numbers are moved 16 bytes at a time.
bool mlp_train_runs(int64_t model, int64_t width, at::ScalarType type) {
  return width % 8 == 0 && fused_mlp_runs(model, type);
}

Tensor mlp_train_units(const MlpTrain& m) {
  const int model = static_cast<int>(m.fc1.size(1));
  const Tensor units =
      at::empty({2 * neuron_units(m), mlp_kernel::unit_bytes(model)}, m.fc1.options().dtype(at::kByte));
  PackArgs a{};
  a.fc1 = pointer(m.fc1), a.fc2 = pointer(m.fc2), a.bias1 = float_pointer(m.bias1);
  a.units = static_cast<unsigned char*>(units.data_ptr()), a.neurons = static_cast<int>(m.bias1.numel());
  a.width = static_cast<int>(m.fc1.size(0)), a.neuron_units = static_cast<int>(neuron_units(m));
  constexpr int threads = mlp_train_kernel::kPackThreads;
  find_kernel("mlp_train.cu", "mlp_pack", defines_of_train(m, 1))
      .launch({u32(ceil_div(mlp_kernel::kTile * (model + 1), threads)), u32(units.size(0))}, threads, 0, a);
  return units;
}

void mlp_train_forward(const MlpTrain& m, const Tensor& units, const Tensor& x, const Tensor& out) {
  if (x.numel() == 0) return;
  TrainArgs a = train_args_of(m, units, x);
  a.out = pointer(out);
  run_train("mlp_forward", m, a, warpgroups_for(a.rows), 0);
}

MlpTrainGradients mlp_train_backward(const MlpTrain& m, const Tensor& units, const Tensor& x, const Tensor& dout) {
  TrainArgs a = train_args_of(m, units, x);
  const int64_t groups = warpgroups_for(a.rows), warps = 4 * groups * blocks_for(a.rows);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = a.width;
  MlpTrainGradients g{
      at::empty_like(x), at::empty_like(x), at::empty(shape, x.options()), at::empty(shape, x.options()), {}, {}};
  const Tensor partial = at::empty({warps, a.width}, floats(x));
  const Tensor norm_partial = at::empty({warps, 3 * x.size(-1)}, floats(x));
  a.norm_partial = float_pointer(norm_partial);
  a.dout = pointer(dout), a.out = pointer(g.dx), a.normed = pointer(g.normed), a.hidden = pointer(g.hidden);
  a.dbefore = pointer(g.dbefore), a.partial = float_pointer(partial);
  if (a.rows > 0) run_train("mlp_backward", m, a, groups, 2 * mlp_kernel::number_bytes(static_cast<int>(x.size(-1))));
  g.dbias1 = reduce_rows(partial), g.norm = reduce_rows(norm_partial).view({3, x.size(-1)});
  return g;
}

}  // namespace mamba_prune::cuda
