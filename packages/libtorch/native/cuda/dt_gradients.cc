// The gradients behind the step sizes, B and C: the launch of dt_gradients.cu.
#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "kernel.h"
#include "kernels/dt_gradients_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "projections.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

// Blocks of a multiprocessor: three have enough registers for the sums of their lanes.
constexpr int64_t kMostDtBlocks = 3;

int64_t dt_panels_for(int64_t width) { return ceil_div(width, dt_kernel::kTile); }

// 0: shared memory has no room for one.
int64_t dt_resident_blocks(int64_t panels) {
  const cudaDeviceProp& device = *at::cuda::getCurrentDeviceProperties();
  const int64_t bytes = dt_kernel::shared_bytes(static_cast<int>(panels));
  if (bytes > static_cast<int64_t>(device.sharedMemPerBlockOptin)) return 0;
  return std::min(kMostDtBlocks, static_cast<int64_t>(device.sharedMemPerMultiprocessor) /
                                     (bytes + static_cast<int64_t>(device.reservedSharedMemPerBlock)));
}

}  // namespace

bool dt_gradients_run(const ProjSizes& s, at::ScalarType type) {
  const int64_t panels = dt_panels_for(s.width);
  return at::cuda::getCurrentDeviceProperties()->major >= 8 && (type == at::kHalf || type == at::kBFloat16) &&
         s.rank_width == dt_kernel::kRank && s.states == dt_kernel::kStates && s.columns == dt_kernel::kColumns &&
         s.width % 8 == 0 && panels <= dt_kernel::kMostPanels && dt_resident_blocks(panels) > 0;
}

Tensor dt_gradients(const Tensor& ddelta, const Tensor& dt_weight, const Tensor& projected, const Tensor& states,
                    const Tensor& dprojected) {
  const int64_t width = ddelta.size(-1), rows = ddelta.numel() / width, panels = dt_panels_for(width);
  const int64_t resident = dt_resident_blocks(panels);
  const int64_t blocks = std::min(resident * multiprocessors(), ceil_div(rows, dt_kernel::kTile));
  const Tensor partial = at::empty({blocks, width * dt_kernel::kRank}, floats(ddelta));
  dt_kernel::DtArgs<void> a{};
  a.ddelta = pointer(ddelta), a.weight = pointer(dt_weight), a.projected = pointer(projected);
  a.dprojected = pointer(dprojected), a.states = float_pointer(states), a.partial = float_pointer(partial);
  a.rows = static_cast<int>(rows), a.width = static_cast<int>(width), a.blocks = static_cast<int>(states.size(0));
  if (blocks > 0)
    find_kernel("dt_gradients.cu", "dt_gradients",
                {{"SCALAR", scalar_code(ddelta.scalar_type())}, {"PANELS", panels}, {"BLOCKS", resident}})
        .launch({u32(blocks)}, dt_kernel::kThreads, u32(dt_kernel::shared_bytes(static_cast<int>(panels))), a);
  return reduce_rows(partial).view({width, dt_kernel::kRank});
}

}  // namespace mamba_prune::cuda
