// Reads the weights of an operator for a whole block at inference.
#pragma once
#include <ATen/ATen.h>

#include <vector>

#include "block_args.h"
#include "low_packed.h"
#include "op_util.h"
#include "packed.h"

namespace mamba_prune {

// Checks each, and keeps the memory of all of them as long as it lives.
class BlockReader : public MatrixReader {
 public:
  // Weights have the type and the device of x.
  BlockReader(const char* op, const at::Tensor& x) : MatrixReader(op), op_(op), x_(x) {}

  const float* floats(const char* name, const at::Tensor& t, at::IntArrayRef shape, const char* layout) {
    refuse_gradient(op_, t);
    check_tensor(op_, name, t, shape, layout, x_);
    alive_.push_back(t.contiguous());
    return static_cast<const float*>(alive_.back().data_ptr());
  }
  // As float32, as pack_weights makes it, or as pack_low does.
  BlockMatrix matrix(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, const char* layout) {
    BlockMatrix found;
    if (low(name, t, columns, depth, found.low)) return found;
    return plain(name, t, columns, depth, layout);
  }
  BlockMatrix narrow_matrix(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, const char* layout) {
    BlockMatrix found;
    if (narrow(name, t, columns, depth, found.low)) return found;
    return plain(name, t, columns, depth, layout);
  }

 private:
  BlockMatrix plain(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, const char* layout) {
    BlockMatrix found;
    if (t.dim() == 4) {
      found.panels = packed_weights(op_, name, t, 1, columns, depth), found.panel_stride = depth * isa().panel;
    } else {
      found.plain = floats(name, t, {columns, depth}, layout);
    }
    return found;
  }

  const char* op_;
  const at::Tensor x_;
  std::vector<at::Tensor> alive_;
};

}  // namespace mamba_prune
