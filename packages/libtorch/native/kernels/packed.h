// Weights of matrix products in the layout of this processor's kernels, and the check of such a tensor.
#pragma once
#include <ATen/ATen.h>

#include "kernel_table.h"
#include "op_util.h"

namespace mamba_prune {

// Throws unless `t` is what pack_weights makes of a matrix [columns, depth], or of `count` of them. Returns its data.
const float* packed_weights(const char* op, const char* name, const at::Tensor& t, int64_t count, int64_t columns,
                            int64_t depth);

// Throws if gradients are recorded and t requires one: the fused operators have none, and would cut the graph in
// silence.
void refuse_gradient(const char* op, const at::Tensor& t);

}  // namespace mamba_prune
