#include "tile_products.h"

#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "driver.h"
#include "kernel.h"
#include "kernels/tile_products_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
namespace tiles = tile_products_kernel;

// Of cuda.h.
enum { kMapFloat16 = 6, kMapBfloat16 = 9 };
enum { kNoInterleave = 0, kSwizzle128Bytes = 3, kPromote256Bytes = 3, kZerosOutside = 0 };

// By which a panel is copied: kStep rows of kPanel columns.
tiles::TensorMap map_of(const Mat& m, at::ScalarType type) {
  tiles::TensorMap map{};
  const uint64_t sizes[] = {static_cast<uint64_t>(m.columns), static_cast<uint64_t>(m.rows)};
  const uint64_t strides[] = {static_cast<uint64_t>(m.stride * c10::elementSize(type))};
  const uint32_t box[] = {tiles::kPanel, tiles::kStep}, element_strides[] = {1, 1};
  const int code = driver().encode_tensor_map(&map, type == at::kHalf ? kMapFloat16 : kMapBfloat16, 2,
                                              const_cast<void*>(m.data), sizes, strides, box, element_strides,
                                              kNoInterleave, kSwizzle128Bytes, kPromote256Bytes, kZerosOutside);
  check_driver(code, "describing a matrix for copies");
  return map;
}

// How many panels of a tile, where no tile has more than `most` and all have as many.
int panels_of(int64_t columns, int64_t most) {
  const int64_t panels = std::max<int64_t>(1, ceil_div(columns, tiles::kPanel));
  return static_cast<int>(ceil_div(panels, ceil_div(panels, most)));
}
int tiles_along(int columns, int panels) {
  return static_cast<int>(ceil_div(columns, int64_t{panels} * tiles::kPanel));
}

// One block for each multiprocessor: as long as there is room, the product whose blocks copy most is cut into more
// parts.
void share_multiprocessors(tiles::ProductsArgs& a) {
  int blocks = 0;
  for (int i = 0; i < a.count; i++) blocks += a.of[i].chunks * a.of[i].tiles;
  const auto copied = [](const tiles::Product& p) {
    return static_cast<double>(p.left_panels + p.right_panels) / std::max(1, p.chunks);
  };
  while (a.count > 0) {
    tiles::Product& most = *std::max_element(
        a.of, a.of + a.count,
        [&](const tiles::Product& one, const tiles::Product& other) { return copied(one) < copied(other); });
    if (blocks + most.tiles > multiprocessors() || most.chunks >= a.steps) return;
    most.chunks++, blocks += most.tiles;
  }
}

}  // namespace

bool tile_products_run(at::ScalarType type) {
  const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
  return type != at::kFloat && device->major == 9 && device->minor == 0 && driver().encode_tensor_map;
}

std::vector<Tensor> tile_products(const std::vector<TileProduct>& all, int64_t rows, at::ScalarType type) {
  TORCH_INTERNAL_ASSERT(all.size() <= tiles::kMostProducts);
  tiles::ProductsArgs a{};
  a.steps = static_cast<int>(ceil_div(rows, tiles::kStep));
  for (const TileProduct& product : all) {
    tiles::Product& p = a.of[a.count++];
    p.m = static_cast<int>(product.left.columns), p.n = static_cast<int>(product.right.columns);
    p.left_panels = panels_of(p.m, tiles::kLeftPanels), p.right_panels = panels_of(p.n, tiles::kRightPanels);
    p.row_tiles = tiles_along(p.m, p.left_panels), p.tiles = p.row_tiles * tiles_along(p.n, p.right_panels);
    p.chunks = std::min(a.steps, 1);
  }
  share_multiprocessors(a);
  const auto options = at::TensorOptions().dtype(at::kFloat).device(at::kCUDA, c10::cuda::current_device());
  std::vector<Tensor> partials;
  int blocks = 0;
  for (size_t i = 0; i < all.size(); i++) {
    tiles::Product& p = a.of[i];
    partials.push_back(at::empty({p.chunks, int64_t{p.m} * p.n}, options));
    p.partial = float_pointer(partials.back()), p.first_block = blocks;
    blocks += p.chunks * p.tiles;
    if (rows > 0) a.left[i] = map_of(all[i].left, type), a.right[i] = map_of(all[i].right, type);
  }
  if (blocks > 0)
    find_kernel("tile_products.cu", "tile_products", {{"SCALAR", scalar_code(type)}, {"STAGES", tiles::kStages}})
        .launch({u32(blocks)}, tiles::kThreads, tiles::kSharedBytes, a);
  return partials;
}

}  // namespace mamba_prune::cuda
