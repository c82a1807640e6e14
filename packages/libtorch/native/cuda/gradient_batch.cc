#include "gradient_batch.h"

#include <algorithm>

#include "kernel.h"
#include "launch.h"
#include "launch_util.h"
#include "tile_products.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
using namespace row_products_kernel;

thread_local GradientBatch* innermost_batch = nullptr;

// Of the widest `left`, at most. More give a library's kernels enough to do, and those run beside others.
constexpr int64_t kMostColumns = 384;
// Where there are many parts to add up, many threads share a sum; else neighbours read whole lines.
constexpr int kManyParts = 256, kFewAcross = 8, kManyAcross = 64;

Sum sum_of(const Tensor& partial, const Tensor& out, int64_t columns) {
  Sum s{};
  s.partial = float_pointer(partial), s.out = float_pointer(out);
  s.parts = static_cast<int>(partial.size(0)), s.size = static_cast<int>(partial.size(1));
  s.columns = static_cast<int>(columns);
  s.across = s.parts >= kManyParts ? kFewAcross : kManyAcross;
  return s;
}

}  // namespace

GradientBatch::GradientBatch() : outer_(innermost_batch) { innermost_batch = this; }
GradientBatch::~GradientBatch() { innermost_batch = outer_; }
GradientBatch* GradientBatch::current() { return innermost_batch; }

bool GradientBatch::fits(int64_t columns, at::ScalarType type) {
  return columns <= kMostColumns && type != at::kFloat &&
         at::cuda::getCurrentDeviceProperties()->sharedMemPerBlockOptin >= row_products_kernel::kSharedBytes;
}

Tensor GradientBatch::sum(const Tensor& partial) {
  const int64_t columns = partial.size(1);
  const Tensor out = at::empty({columns}, partial.options());
  Sum s = sum_of(partial, out, columns);
  s.kept_rows = first_of(1), s.kept_columns = first_of(columns), s.column_step = 1;
  sums_.push_back(s);
  held_.insert(held_.end(), {partial, out});
  return out;
}

Tensor GradientBatch::product(const Tensor& left, const Tensor& right, KeptRows rows, KeptRows columns,
                              bool transposed) {
  const Tensor out = transposed ? at::empty({columns.count, rows.count}, floats(left))
                                : at::empty({rows.count, columns.count}, floats(left));
  Sum s{};
  s.out = float_pointer(out), s.kept_rows = rows, s.kept_columns = columns;
  s.row_step = transposed ? 1 : columns.count, s.column_step = transposed ? rows.count : 1;
  products_.push_back({left, right, sums_.size()});
  sums_.push_back(s);
  held_.push_back(out);
  return out;
}

void GradientBatch::run() {
  TORCH_INTERNAL_ASSERT(products_.size() <= kMostProducts && sums_.size() <= kMostSums);
  if (!products_.empty() && tile_products_run(products_[0].left.scalar_type())) run_tile_products();
  else run_row_products();
  run_sums();
  sums_.clear(), products_.clear(), held_.clear();
}

int64_t GradientBatch::rows() const {
  const int64_t rows = products_.empty() ? 0 : mat(products_[0].left).rows;
  for (const Factors& f : products_) {
    const int64_t left = mat(f.left).rows, right = mat(f.right).rows;
    TORCH_CHECK(left == rows && right == rows, "CUDA: got factors of ", left, " and ", right, " rows, expected ", rows,
                ".");
  }
  return rows;
}

// A product is the sum over the first dimension of `partial`.
void GradientBatch::sum_parts(const Factors& f, const Tensor& partial) {
  Sum& s = sums_[f.sum];
  const Sum made = sum_of(partial, partial, f.right.size(-1));
  s.partial = made.partial, s.parts = made.parts, s.size = made.size, s.columns = made.columns;
  s.across = made.across;
  held_.push_back(partial);
}

void GradientBatch::run_tile_products() {
  std::vector<TileProduct> all;
  for (const Factors& f : products_) all.push_back({mat(f.left), mat(f.right)});
  const std::vector<Tensor> partials = tile_products(all, rows(), products_[0].left.scalar_type());
  for (size_t i = 0; i < partials.size(); i++) sum_parts(products_[i], partials[i]);
}

void GradientBatch::run_row_products() {
  // One block for each multiprocessor; of them a product gets its share of all that is read.
  const int64_t rows = this->rows();
  int64_t read = 0;
  for (const Factors& f : products_) {
    const Mat left = mat(f.left), right = mat(f.right);
    const int64_t tiles = ceil_div(left.columns, kTileRows) * ceil_div(right.columns, kTileColumns);
    read += tiles * (std::min<int64_t>(left.columns, kTileRows) + std::min<int64_t>(right.columns, kTileColumns));
  }
  ProductsArgs<void> products{};
  int64_t blocks = 0;
  for (const Factors& f : products_) {
    const Mat left = mat(f.left), right = mat(f.right);
    Product<void>& p = products.of[products.count++];
    p.left = left.data, p.right = right.data;
    p.m = static_cast<int>(left.columns), p.n = static_cast<int>(right.columns);
    p.left_row = static_cast<int>(left.stride), p.right_row = static_cast<int>(right.stride);
    p.row_tiles = static_cast<int>(ceil_div(p.m, kTileRows));
    p.tiles = p.row_tiles * static_cast<int>(ceil_div(p.n, kTileColumns));
    const int64_t of_tile = std::min<int64_t>(p.m, kTileRows) + std::min<int64_t>(p.n, kTileColumns);
    const int64_t chunks = std::max<int64_t>(1, multiprocessors() * of_tile / read);
    p.per_chunk = static_cast<int>(ceil_div(ceil_div(rows, chunks), kStep) * kStep);
    const int64_t used = rows == 0 ? 0 : ceil_div(rows, p.per_chunk);
    const Tensor partial = at::empty({used, int64_t{p.m} * p.n}, floats(f.left));
    p.partial = float_pointer(partial), p.first_block = static_cast<int>(blocks);
    blocks += used * p.tiles;
    sum_parts(f, partial);
  }
  products.rows = static_cast<int>(rows);
  if (blocks > 0)
    find_kernel("row_products.cu", "row_products", {{"SCALAR", scalar_code(products_[0].left.scalar_type())}})
        .launch({u32(blocks)}, row_products_kernel::kThreads, row_products_kernel::kSharedBytes, products);
}

void GradientBatch::run_sums() {
  SumsArgs sums{};
  int64_t blocks = 0;
  for (Sum s : sums_) {
    s.first_block = static_cast<int>(blocks);
    blocks += ceil_div(s.size, s.across);
    sums.of[sums.count++] = s;
  }
  const auto type = products_.empty() ? at::kBFloat16 : products_[0].left.scalar_type();
  if (blocks > 0)
    find_kernel("row_products.cu", "row_sums", {{"SCALAR", scalar_code(type)}})
        .launch({u32(blocks)}, row_products_kernel::kThreads, 0, sums);
}

}  // namespace mamba_prune::cuda
