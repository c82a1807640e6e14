// Single-precision matrix product on row-major matrices.
#pragma once
#include <cstdint>

namespace mamba_prune {

// C[m, n] = op(A) op(B) + beta C; `transpose` reads the matrix as its transpose. Leading dimensions
// are row strides in elements.
struct Sgemm {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb;
  float beta;
  float* c;
  int64_t ldc;
};

// Whether this libtorch comes with a product that beats the one that its own operators use: oneDNN's,
// where oneDNN is a library of its own (Debian). pip's libtorch has MKL behind its operators already.
bool has_fast_sgemm();

// Throws std::runtime_error if the library refuses the arguments. Needs has_fast_sgemm().
void sgemm(const Sgemm& product);

}  // namespace mamba_prune
