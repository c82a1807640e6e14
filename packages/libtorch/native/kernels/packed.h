// Weights of matrix products in the layout of this processor's kernels, and the check of such a tensor.
#pragma once
#include <ATen/ATen.h>

#include "kernel_table.h"
#include "op_util.h"

namespace mamba_prune {

// Throws unless `t` is what pack_weights makes of a matrix [columns, depth], or of `count` of them. Returns its data.
const float* packed_weights(const char* op, const char* name, const at::Tensor& t, int64_t count, int64_t columns,
                            int64_t depth);

// Whether a matrix [columns, depth] of a block is given as pack_weights makes it, which is then read into `found`.
// Throws where it is, and of another size.
inline bool read_panels(const char* op, const char* name, const at::Tensor& t, int64_t columns, int64_t depth,
                        BlockMatrix& found) {
  if (t.dim() != 4) return false;
  found.panels = packed_weights(op, name, t, 1, columns, depth), found.panel_stride = depth * isa().panel;
  return true;
}

// Throws if gradients are recorded and t requires one: the fused operators have none, and would cut the graph in
// silence.
void refuse_gradient(const char* op, const at::Tensor& t);

}  // namespace mamba_prune
