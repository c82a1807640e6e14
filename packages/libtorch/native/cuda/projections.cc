#include "projections.h"

#include <algorithm>

#include "fused_mlp.h"
#include "kernel.h"
#include "kernels/projections_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
using ProjArgs = proj_kernel::ProjArgs<void>;

// Of which both blocks of a multiprocessor hold all panels.
constexpr int64_t kMostPanels = 13;

int64_t panels_for(int64_t width) { return ceil_div(width, proj_kernel::kTile); }

const Kernel& proj_kernel_of(const char* function, at::ScalarType type, bool uses_x = true) {
  // The width of the rows that warpgroup.cuh has kernels for does not matter here.
  return find_kernel("projections.cu", function,
                     {{"SCALAR", scalar_code(type)},
                      {"MODEL", 192},
                      {"GROUPS", 1},
                      {"CLUSTER", 1},
                      {"STAGES", 1},
                      {"USES_X", uses_x}});
}

ProjArgs proj_args_of(const Tensor& panels, const Tensor& u, const Tensor& projected) {
  ProjArgs a{};
  a.panels = static_cast<const unsigned char*>(panels.data_ptr()), a.projected = pointer(projected);
  a.rows = static_cast<int>(u.numel() / u.size(-1)), a.width = static_cast<int>(u.size(-1));
  a.panel_count = static_cast<int>(panels_for(u.size(-1)));
  return a;
}

void run_proj(const char* function, at::ScalarType type, const ProjArgs& a, bool uses_x = true) {
  if (a.rows == 0) return;
  const int64_t blocks = std::min<int64_t>(int64_t{proj_kernel::kResident} * multiprocessors(),
                                           ceil_div(a.rows, proj_kernel::kTile * proj_kernel::kGroups));
  const int skipped = uses_x ? 0 : a.panel_count * proj_kernel::kColumns * proj_kernel::kRowBytes;
  const int shared = proj_kernel::panel_bytes(a.panel_count) - skipped + proj_kernel::kAlignment;
  proj_kernel_of(function, type, uses_x).launch({u32(blocks)}, proj_kernel::kThreads, u32(shared), a);
}

}  // namespace

bool projections_run(const ProjSizes& s, at::ScalarType type) {
  return fused_mlp_runs(192, type) && s.rank_width == proj_kernel::kRank && s.states == proj_kernel::kStates &&
         s.columns == proj_kernel::kColumns && s.width % 8 == 0 && panels_for(s.width) <= kMostPanels;
}

Tensor proj_panels(const Tensor& x_proj) {
  return at::empty({proj_kernel::panel_bytes(static_cast<int>(panels_for(x_proj.size(1))))},
                   x_proj.options().dtype(at::kByte));
}

void proj_pack(const Tensor& x_proj, const Tensor& dt_proj, const Tensor& panels) {
  proj_kernel::PackArgs<void> a{};
  a.x_proj = pointer(x_proj), a.dt_proj = pointer(dt_proj), a.panels = panels.data_ptr();
  a.width = static_cast<int>(x_proj.size(1)), a.count = static_cast<int>(panels_for(x_proj.size(1)));
  constexpr int threads = proj_kernel::kPackThreads;
  proj_kernel_of("proj_pack", x_proj.scalar_type()).launch({u32(ceil_div(panels.numel() / 2, threads))}, threads, 0, a);
}

void proj_forward(const Tensor& panels, const Tensor& u, const Tensor& projected, const Tensor& delta) {
  ProjArgs a = proj_args_of(panels, u, projected);
  a.u = pointer(u), a.delta = pointer(delta);
  run_proj("proj_forward", u.scalar_type(), a);
}

void proj_backward(const Tensor& panels, const Tensor& ddelta, const Tensor& states, const Tensor& dprojected,
                   const Tensor& du) {
  ProjArgs a = proj_args_of(panels, ddelta, dprojected);
  a.delta = pointer(ddelta), a.du = pointer(du), a.states = float_pointer(states);
  a.blocks = static_cast<int>(states.size(0));
  run_proj("proj_backward", ddelta.scalar_type(), a, du.defined());
}

}  // namespace mamba_prune::cuda
