// What the CPU's and the GPU's halves of reorder_tokens share.
#pragma once
#include <ATen/ATen.h>

namespace mamba_prune {

inline void check_reorder_tokens(const at::Tensor& x, int64_t side) {
  const char* op = "reorder_tokens";
  TORCH_CHECK(x.dim() == 3, op, ": got x of shape ", x.sizes(), ", expected [batch, length, features].");
  TORCH_CHECK(side >= 0 && side <= 46340, op, ": got side ", side,
              ", expected 0, to reverse, or the side of a square grid.");
  TORCH_CHECK(side == 0 || side * side == x.size(1), op, ": got ", x.size(1), " tokens, expected ", side, " x ", side,
              " = ", side * side, ".");
}

/** Which token comes to a place. */
inline int64_t reordered_from(int64_t token, int64_t length, int64_t side) {
  return side == 0 ? length - 1 - token : token % side * side + token / side;
}

}  // namespace mamba_prune
