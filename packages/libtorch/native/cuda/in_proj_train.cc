#include "in_proj_train.h"

#include <algorithm>

#include "fused_mlp.h"
#include "kernel.h"
#include "kernels/in_proj_train_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
using InProjTrainArgs = in_proj_train_kernel::InProjTrainArgs<void>;

// Backward as many as fit beside the rows of two warpgroups.
constexpr int64_t kInProjTrainStages = 5;

int64_t in_proj_unit_count(const InProjTrain& p) { return ceil_div(p.weight.size(0), mlp_kernel::kTile); }

const Kernel& in_proj_kernel_of(const char* function, const InProjTrain& p, int64_t groups) {
  return find_kernel("in_proj_train.cu", function,
                     {{"SCALAR", scalar_code(p.weight.scalar_type())},
                      {"MODEL", p.weight.size(1)},
                      {"GROUPS", groups},
                      {"CLUSTER", cluster_of(groups)},
                      {"STAGES", kInProjTrainStages}});
}

InProjTrainArgs in_proj_args_of(const InProjTrain& p, const Tensor& units, const Tensor& x, const Tensor& xz) {
  InProjTrainArgs a{};
  a.x = pointer(x), a.xz = pointer(xz), a.units = static_cast<const unsigned char*>(units.data_ptr());
  a.norm_weight = float_pointer(p.norm_weight), a.norm_bias = float_pointer(p.norm_bias);
  a.rows = static_cast<int>(x.numel() / x.size(-1)), a.unit_count = static_cast<int>(in_proj_unit_count(p));
  a.width = static_cast<int>(p.weight.size(0)), a.eps = static_cast<float>(p.eps);
  return a;
}

void run_in_proj(const char* function, const InProjTrain& p, const InProjTrainArgs& a, int64_t tile_bytes) {
  if (a.rows == 0) return;
  const int model = static_cast<int>(p.weight.size(1));
  const int64_t groups = warpgroups_for(a.rows);
  const int64_t shared =
      kInProjTrainStages * mlp_kernel::unit_bytes(model) + mlp_kernel::kAlignment + groups * tile_bytes;
  in_proj_kernel_of(function, p, groups)
      .launch({u32(blocks_for(a.rows))}, u32(mlp_kernel::threads_of(static_cast<int>(groups))), u32(shared), a);
}

}  // namespace

Tensor in_proj_units(const InProjTrain& p) {
  const int model = static_cast<int>(p.weight.size(1));
  const Tensor units =
      at::empty({in_proj_unit_count(p), mlp_kernel::unit_bytes(model)}, p.weight.options().dtype(at::kByte));
  in_proj_train_kernel::PackArgs<void> a{};
  a.weight = pointer(p.weight), a.units = static_cast<unsigned char*>(units.data_ptr());
  a.width = static_cast<int>(p.weight.size(0));
  constexpr int threads = in_proj_train_kernel::kPackThreads;
  in_proj_kernel_of("in_proj_pack", p, 1)
      .launch({u32(ceil_div(mlp_kernel::kTile * model, threads)), u32(units.size(0))}, threads, 0, a);
  return units;
}

void in_proj_forward(const InProjTrain& p, const Tensor& units, const Tensor& x, const Tensor& normed,
                     const Tensor& xz) {
  InProjTrainArgs a = in_proj_args_of(p, units, x, xz);
  a.normed = pointer(normed);
  run_in_proj("in_proj_forward", p, a, 0);
}

Tensor in_proj_backward(const InProjTrain& p, const Tensor& units, const Tensor& x, const Tensor& dxz,
                        const Tensor& dout, const Tensor& dx) {
  InProjTrainArgs a = in_proj_args_of(p, units, x, dxz);
  const int64_t warps = 4 * warpgroups_for(a.rows) * blocks_for(a.rows);
  const Tensor partial = at::empty({warps, 3 * x.size(-1)}, floats(x));
  a.dout = pointer(dout), a.dx = pointer(dx), a.norm_partial = float_pointer(partial);
  run_in_proj("in_proj_backward", p, a, 2 * mlp_kernel::number_bytes(static_cast<int>(x.size(-1))));
  return reduce_rows(partial).view({3, x.size(-1)});
}

}  // namespace mamba_prune::cuda
