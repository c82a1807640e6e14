// The gradients of a branch's weights in two launches, for widths of which each by a library would be a launch or two
// that mostly wait: those of a pruned model. Hopper multiplies by kernels/tile_products.cu, other GPUs by
// kernels/row_products.cu, which has the sums for both.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "gemm.h"
#include "kernels/row_products_interface.h"

namespace mamba_prune::cuda {

/** Which rows or columns of a padded matrix are of the weight: `count`, with `skip` of padding behind `split` of them.
 */
using KeptRows = row_products_kernel::Kept;
inline KeptRows first_of(int64_t count) { return {static_cast<int>(count), 0, static_cast<int>(count)}; }
inline KeptRows around(int64_t split, int64_t skip, int64_t count) {
  return {static_cast<int>(split), static_cast<int>(skip), static_cast<int>(count)};
}

/**
 * While it lives, `reduce_rows` of this thread leaves its sums to it. What it returned, and what `product` returns, is
 * there after `run`.
 */
class GradientBatch {
 public:
  GradientBatch();
  GradientBatch(const GradientBatch&) = delete;
  GradientBatch& operator=(const GradientBatch&) = delete;
  ~GradientBatch();
  /** That of this thread; null where there is none. */
  static GradientBatch* current();

  /** Whether it is the faster way for factors of a type, of which the widest `left` has so many columns. */
  static bool fits(int64_t columns, at::ScalarType type);

  /** The sum over the first dimension of a contiguous float32 tensor, [columns]. */
  at::Tensor sum(const at::Tensor& partial);
  /**
   * left^T right without its padding, float32 [rows.count, columns.count]; transposed, [columns.count, rows.count].
   * @param left, right of 16 bits, as many rows each; all their rows begin at multiples of 16 bytes
   */
  at::Tensor product(const at::Tensor& left, const at::Tensor& right, KeptRows rows, KeptRows columns,
                     bool transposed = false);
  void run();

 private:
  struct Factors {
    at::Tensor left, right;
    size_t sum;  // its place among the sums
  };
  int64_t rows() const;
  void sum_parts(const Factors& f, const at::Tensor& partial);
  void run_tile_products();
  void run_row_products();
  void run_sums();
  std::vector<row_products_kernel::Sum> sums_;
  std::vector<Factors> products_;
  std::vector<at::Tensor> held_;
  GradientBatch* outer_;
};

}  // namespace mamba_prune::cuda
