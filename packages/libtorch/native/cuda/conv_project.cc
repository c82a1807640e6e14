// The causal convolution together with the projections of its result: the launch of conv_project.cu.
#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "kernel.h"
#include "kernels/conv_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

// Of a multiprocessor: as many as have enough registers for all that a lane keeps.
constexpr int64_t kMostProjectWarps = 20, kMostBlockWarps = 12;

int64_t project_warps(int64_t width) { return ceil_div(width, conv_kernel::kTileChannels); }

int64_t project_bytes(int64_t warps, int64_t columns) {
  return warps * conv_kernel::project_warp_bytes(static_cast<int>(columns));
}

// Blocks of a multiprocessor; 0: its shared memory has no room for one.
int64_t project_blocks(int64_t warps, int64_t columns) {
  const cudaDeviceProp& device = *at::cuda::getCurrentDeviceProperties();
  const int64_t bytes = project_bytes(warps, columns);
  if (bytes > static_cast<int64_t>(device.sharedMemPerBlockOptin)) return 0;
  const int64_t fit = static_cast<int64_t>(device.sharedMemPerMultiprocessor) /
                      (bytes + static_cast<int64_t>(device.reservedSharedMemPerBlock));
  return std::min(fit, std::max<int64_t>(1, kMostProjectWarps / warps));
}

}  // namespace

bool conv_projects(const Conv& c, const Tensor& y, const Tensor& projection) {
  const int64_t width = y.size(-1), columns = projection.size(0), warps = project_warps(width);
  // Copies into shared memory and products of bfloat16 came with compute capability 8.0.
  return at::cuda::getCurrentDeviceProperties()->major >= 8 && c.x.element_size() == 2 && !c.reverse &&
         c.weight.size(1) - 1 <= conv_kernel::kMostReach && vector_of({c.x, y, projection}, width, 8) == 8 &&
         columns % 16 == 0 && columns <= conv_kernel::kTileChannels && warps <= kMostBlockWarps &&
         project_blocks(warps, columns) > 0;
}

void conv_project(const Conv& c, const Tensor& y, const Tensor& projection, const Tensor& projected) {
  conv_kernel::ConvProjectArgs<void> a{};
  a.x = pointer(c.x), a.weight = float_pointer(c.weight), a.bias = float_pointer(c.bias), a.y = pointer(y);
  a.x_row = row(c.x), a.y_row = row(y);
  a.batch = static_cast<int>(y.size(0)), a.length = static_cast<int>(y.size(1));
  a.channels = static_cast<int>(c.weight.size(0)), a.width = static_cast<int>(y.size(-1));
  a.projection = pointer(projection), a.projected = pointer(projected);
  const int64_t tiles = ceil_div(y.size(1), conv_kernel::kTileSteps) * y.size(0);
  if (tiles == 0) return;
  const int64_t columns = projection.size(0), warps = project_warps(y.size(-1)),
                resident = project_blocks(warps, columns);
  const Kernel& kernel = find_kernel("conv_project.cu", "conv_project",
                                     {{"SCALAR", scalar_code(c.x.scalar_type())},
                                      {"TAPS", c.weight.size(1)},
                                      {"VECTOR", 2},
                                      {"REVERSE", 0},
                                      {"HAS_BIAS", c.bias.defined()},
                                      {"SILU", c.silu},
                                      {"COLUMNS", columns},
                                      {"WARPS", warps},
                                      {"BLOCKS", resident}});
  kernel.launch({u32(std::min(tiles, resident * multiprocessors()))}, u32(32 * warps),
                u32(project_bytes(warps, columns)), a);
}

}  // namespace mamba_prune::cuda
