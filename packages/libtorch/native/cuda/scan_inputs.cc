#include "scan_inputs.h"

#include "kernel.h"
#include "kernels/scan_inputs_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

using at::Tensor;

namespace {

constexpr int64_t kMostTaps = 4, kMostColumns = 160, kMostRank = 64;
constexpr int64_t kInputsWarps = 4;

bool aligned(const Tensor& t) { return reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0; }

// Registers decide: the sums of a tile of tokens take half as many as there are columns.
struct InputsTiles {
  int64_t tiles, blocks;
};
InputsTiles inputs_tiles(int64_t columns) {
  return columns <= 56 ? InputsTiles{2, 4} : columns <= 80 ? InputsTiles{2, 3} : InputsTiles{1, 3};
}

}  // namespace

bool scan_inputs_run(const Tensor& x, const std::vector<ScanInputs>& directions) {
  const ScanInputs& first = directions[0];
  const int64_t taps = first.conv_weight.size(2), columns = first.x_proj.size(0), rank = first.dt_proj.size(1);
  if (x.scalar_type() == at::kFloat || x.size(2) % 8 != 0 || mat(x).stride % 8 != 0 || !aligned(x)) return false;
  if (taps > kMostTaps || columns > kMostColumns || rank > kMostRank || columns % 8 != 0 || rank % 8 != 0) return false;
  if (directions.size() > static_cast<size_t>(inputs_kernel::kMaxDirections)) return false;
  if (x.size(0) * x.size(1) >= int64_t{1} << 31) return false;
  for (const ScanInputs& d : directions)
    if (d.conv_weight.size(2) != taps || !aligned(d.conv_weight) || !aligned(d.x_proj) || !aligned(d.dt_proj))
      return false;
  return true;
}

void scan_inputs(const Tensor& x, int64_t channels, const std::vector<ScanInputs>& directions) {
  const int64_t batch = x.size(0), length = x.size(1), columns = directions[0].x_proj.size(0);
  if (batch == 0) return;
  inputs_kernel::InputsArgs<void> a{};
  a.x = pointer(x), a.x_row = static_cast<int>(mat(x).stride);
  a.batch = static_cast<int>(batch), a.length = static_cast<int>(length), a.channels = static_cast<int>(channels),
  a.width = static_cast<int>(x.size(2));
  for (size_t i = 0; i < directions.size(); i++) {
    const ScanInputs& from = directions[i];
    inputs_kernel::InputsDirection<void>& to = a.directions[i];
    to.weight = float_pointer(from.conv_weight), to.bias = float_pointer(from.conv_bias);
    to.x_proj = pointer(from.x_proj), to.dt_proj = pointer(from.dt_proj);
    to.u = pointer(from.u), to.projected = pointer(from.projected), to.delta = pointer(from.delta);
  }
  auto [tiles, blocks] = inputs_tiles(columns);
  int64_t warps = kInputsWarps;
  if (const char* t = std::getenv("MP_INPUTS")) {
    int x, y, z;
    if (std::sscanf(t, "%d,%d,%d", &x, &y, &z) == 3) tiles = x, warps = y, blocks = z;
  }
  const auto count = static_cast<int64_t>(directions.size());
  const Kernel& kernel = find_kernel("scan_inputs.cu", "scan_inputs",
                                     {{"SCALAR", scalar_code(x.scalar_type())},
                                      {"DIRECTIONS", count},
                                      {"TAPS", directions[0].conv_weight.size(2)},
                                      {"COLUMNS", columns},
                                      {"RANK", directions[0].dt_proj.size(1)},
                                      {"TILES", tiles},
                                      {"WARPS", warps},
                                      {"BLOCKS", blocks}});
  const int64_t strips = batch * ceil_div(length, 2 * tiles);
  kernel.launch({u32(ceil_div(strips, inputs_kernel::kStrips) * count)}, u32(warps * 32), 0, a);
}

}  // namespace mamba_prune::cuda
