#pragma once
#include <ATen/ATen.h>

namespace mamba_prune::cuda {

/** mamba_prune::reorder_tokens; see native/kernels/reorder_tokens.cc. */
at::Tensor reorder_tokens(const at::Tensor& x, int64_t side);

}  // namespace mamba_prune::cuda
