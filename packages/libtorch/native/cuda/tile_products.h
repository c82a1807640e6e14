// Products over rows for the gradients of narrow weights, all in one launch (Hopper, 16 bits;
// kernels/tile_products.cu).
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "gemm.h"

namespace mamba_prune::cuda {

/** Whether the kernel takes factors of this type on the current device. */
bool tile_products_run(at::ScalarType type);

/** left^T right; all rows of both begin at multiples of 16 bytes. */
struct TileProduct {
  Mat left, right;
};
/**
 * What the products over some of the rows give, for each of the products: float32 [parts, left's columns times
 * right's]. Their sums over the first dimension are the products.
 *
 * @param all of as many rows each, `rows`
 */
std::vector<at::Tensor> tile_products(const std::vector<TileProduct>& all, int64_t rows, at::ScalarType type);

}  // namespace mamba_prune::cuda
