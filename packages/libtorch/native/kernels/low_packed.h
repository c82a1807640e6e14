// Weights packed for the products in low precision, as a tensor.
#pragma once
#include <ATen/ATen.h>

#include "low_precision.h"

namespace mamba_prune {

// A matrix that pack_low made, which keeps the tensor's memory only as long as the tensor lives.
// Throws unless it is [columns, depth] in the precision of `kernels`.
LowMatrix low_matrix(const char* op, const char* name, const at::Tensor& packed, const LowKernels& kernels,
                     int64_t columns, int64_t depth);

// A matrix that is given as float32 or as pack_low makes it. All matrices of an operator are in the same precision,
// but for narrow ones.
class MatrixReader {
 public:
  explicit MatrixReader(const char* op) : op_(op) {}
  // Whether the matrix is packed, which is then read into `low`.
  bool low(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, LowMatrix& low);
  // The same of a matrix that may be in bfloat16 where the others are in int8: one so narrow that its product takes
  // less time than the rounding of its activations to int8.
  bool narrow(const char* name, const at::Tensor& t, int64_t columns, int64_t depth, LowMatrix& low);
  // Null where all were float32.
  const LowKernels* kernels() const { return kernels_; }
  const LowKernels* narrow_kernels() const { return narrow_; }

 private:
  const char* op_;
  const LowKernels *kernels_ = nullptr, *narrow_ = nullptr;
  bool any_ = false, any_packed_ = false;
  bool packed(const char* name, const at::Tensor& t);
};

// Columns of a packed matrix. Throws for other tensors.
int64_t low_columns(const char* op, const at::Tensor& packed);

// The kernels that a packed matrix is for. Throws for other tensors, and where the processor has none.
const LowKernels& kernels_for(const char* op, const at::Tensor& packed);

}  // namespace mamba_prune
