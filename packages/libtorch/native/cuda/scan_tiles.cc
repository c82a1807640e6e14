#include "scan_tiles.h"

#include <cstdio>
#include <cstdlib>

#include "kernel.h"
#include "launch_util.h"
#include "scan_args.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

constexpr int64_t kStates = 16;

struct Shape {
  int64_t tiles, threads, blocks;
};

Shape shape_of(int64_t width, int64_t sequences) {
  if (const char* given = std::getenv("MP_TILES")) {
    Shape s{};
    if (std::sscanf(given, "%ld,%ld,%ld", &s.tiles, &s.threads, &s.blocks) == 3) return s;
  }
  const auto warps = [&](int64_t tiles) { return ceil_div(width, 8 * tiles) * sequences; };
  const int64_t enough = int64_t{8} * multiprocessors();
  if (warps(4) >= enough) return {4, 64, 6};
  return warps(2) >= enough ? Shape{2, 128, 5} : Shape{1, 128, 8};
}

const Kernel& kernel_of(const Scan& s, const Shape& shape, bool add, int64_t directions) {
  const char* poly = std::getenv("MP_POLY");
  return find_kernel("scan_tiles.cu", "scan_forward_tiles",
                     scan_defines_of(s, {{"ADD_Y", add},
                                         {"DIRECTIONS", directions},
                                         {"RANK", s.dt_weight.defined() ? s.dt_weight.size(1) : 0},
                                         {"TILES", shape.tiles},
                                         {"THREADS", shape.threads},
                                         {"BLOCKS", shape.blocks},
                                         {"POLYNOMIALS", poly ? std::atoi(poly) : 0}}));
}

template <class Args> Args args_of(const Scan& s, const Tensor& y) {
  Args a{};
  static_cast<scan_kernel::ScanArgs<void>&>(a) = scan_args_of(s);
  a.y = pointer(y), a.y_row = static_cast<int>(mat(y).stride), a.width = static_cast<int>(y.size(-1));
  return a;
}
scan_kernel::ScanSide<void> side_of(const Scan& s) {
  return {pointer(s.u),         pointer(s.delta), pointer(s.B),       pointer(s.C),
          pointer(s.dt_weight), float_pointer(s.A), float_pointer(s.D), float_pointer(s.bias)};
}

Grid grid_of(const scan_kernel::ScanArgs<void>& a, const Shape& shape, int64_t directions) {
  return {u32(ceil_div(a.width, 8 * shape.tiles * (shape.threads / 32 / directions))), u32(a.batch)};
}

}  // namespace

bool scan_tiles_make_steps(const Tensor& dt_weight) {
  constexpr int64_t most = 32;  // more weights would not stay in registers
  return dt_weight.size(1) % 8 == 0 && dt_weight.size(1) <= most && dt_weight.is_contiguous() &&
         reinterpret_cast<uintptr_t>(dt_weight.data_ptr()) % 4 == 0 && !std::getenv("MP_DT");
}

bool scan_tiles_run(at::ScalarType type, int64_t states, int64_t width) {
  const bool off = std::getenv("MP_NOTILES") != nullptr;
  return !off && type == at::kBFloat16 && states == kStates && width % 8 == 0;
}

bool scan_tiles_run(const Scan& s, const Tensor& y) {
  const auto whole = [](const Tensor& t, int64_t elements) {
    return !t.defined() || vector_of({t}, elements, elements) == elements;
  };
  return scan_tiles_run(s.u.scalar_type(), s.A.size(1), y.size(-1)) && !s.initial.defined() && s.height <= 1 &&
         whole(s.u, 4) && whole(s.delta, s.dt_weight.defined() ? 2 : 4) && whole(s.z, 4) && whole(y, 4) && whole(s.B, 2) && whole(s.C, 2);
}

void scan_tiles(const Scan& s, const Tensor& y, bool add) {
  auto a = args_of<scan_kernel::ScanOneArgs<void>>(s, y);
  a.side = side_of(s);
  const Shape shape = shape_of(a.width, a.batch);
  kernel_of(s, shape, add, 1).launch(grid_of(a, shape, 1), u32(shape.threads), 0, a);
}

void scan_tiles_both(const Scan& s, const Scan& back, const Tensor& y) {
  auto a = args_of<scan_kernel::ScanBothArgs<void>>(s, y);
  a.side[0] = side_of(s), a.side[1] = side_of(back);
  const Shape shape = shape_of(a.width, 2 * int64_t{a.batch});
  kernel_of(s, shape, false, 2).launch(grid_of(a, shape, 2), u32(shape.threads), 0, a);
}

}  // namespace mamba_prune::cuda
