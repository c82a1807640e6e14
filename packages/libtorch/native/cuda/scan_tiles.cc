#include "scan_tiles.h"

#include "kernel.h"
#include "launch_util.h"
#include "scan_args.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

constexpr int64_t kStates = 16, kMostRank = 32;

struct Shape {
  int64_t tiles, threads, blocks;  // of 8 channels a warp; of a block; of a multiprocessor
};

// The more channels a warp has, the less it does that is not of a channel; but every multiprocessor wants some warps.
Shape shape_of(int64_t width, int64_t sequences) {
  const auto warps = [&](int64_t tiles) { return ceil_div(width, 8 * tiles) * sequences; };
  const int64_t enough = int64_t{8} * multiprocessors();
  if (warps(4) >= enough) return {4, 128, 3};
  return warps(2) >= enough ? Shape{2, 128, 5} : Shape{1, 128, 8};
}

template <class Args> Args args_of(const TileScan& first, const Tensor& y) {
  Args a{};
  static_cast<scan_kernel::ScanArgs<void>&>(a) = scan_args_of(first.scan);
  a.b_row = static_cast<int>(mat(first.projected).stride);
  a.y = pointer(y), a.y_row = static_cast<int>(mat(y).stride), a.width = static_cast<int>(y.size(-1));
  return a;
}

scan_kernel::ScanSide<void> side_of(const TileScan& of) {
  return {pointer(of.scan.u),       pointer(of.projected),       pointer(of.dt_weight),  float_pointer(of.scan.A),
          float_pointer(of.scan.D), float_pointer(of.scan.bias), pointer(of.scan.delta), pointer(of.checkpoints)};
}

}  // namespace

bool scan_tiles_run(at::ScalarType type, int64_t states, int64_t width, int64_t columns, const Tensor& dt_weight) {
  return type == at::kBFloat16 && states == kStates && width % 8 == 0 && columns % 8 == 0 &&
         dt_weight.size(1) % 8 == 0 && dt_weight.size(1) <= kMostRank && dt_weight.is_contiguous();
}

void scan_tiles(const std::vector<TileScan>& directions, const Tensor& y) {
  const TileScan& first = directions[0];
  const int64_t batch = y.size(0), width = y.size(-1), count = static_cast<int64_t>(directions.size());
  if (batch == 0) return;
  TORCH_CHECK(batch <= 65535, "selective_scan: got a batch of ", batch, ", expected at most 65535 on a GPU. Split it.");
  const Shape shape = shape_of(width, count * batch);
  // No more blocks than run at a time: one that ends leaves nothing to do while the next one begins.
  const int64_t across = ceil_div(width, 8 * shape.tiles * (shape.threads / 32 / count));
  const int64_t sequences = ceil_div(across * batch, shape.blocks * multiprocessors());
  const Kernel& kernel = find_kernel("scan_tiles.cu", "scan_forward_tiles",
                                     scan_defines_of(first.scan, {{"DIRECTIONS", count},
                                                                  {"RANK", first.dt_weight.size(1)},
                                                                  {"TILES", shape.tiles},
                                                                  {"SAVE", first.checkpoints.defined()},
                                                                  {"THREADS", shape.threads},
                                                                  {"BLOCKS", shape.blocks}}));
  const Grid grid{u32(across), u32(ceil_div(batch, sequences))};
  if (count == 1) {
    auto a = args_of<scan_kernel::ScanOneArgs<void>>(first, y);
    a.side = side_of(first);
    kernel.launch(grid, u32(shape.threads), 0, a);
  } else {
    auto a = args_of<scan_kernel::ScanBothArgs<void>>(first, y);
    for (int i = 0; i < 2; i++) a.side[i] = side_of(directions[i]);
    kernel.launch(grid, u32(shape.threads), 0, a);
  }
}

}  // namespace mamba_prune::cuda
