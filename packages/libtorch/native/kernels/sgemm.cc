// oneDNN's sgemm, found in the process at run time. Debian's libtorch multiplies with OpenBLAS, which
// has threads of its own beside OpenMP's, clears the result before it adds to it, and is
// several times slower on narrow matrices (1.5 to 2 times at pruned widths and 64 rows, 6 at 12 columns). oneDNN is
// linked into libtorch_cpu for the convolutions and shares OpenMP's threads. Its C interface has been stable since 1.0,
// so declaring the one function here spares its headers as a dependency.
#include "sgemm.h"

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace mamba_prune::sgemm_impl {
namespace {

using DnnlSgemm = int (*)(char transa, char transb, int64_t m, int64_t n, int64_t k, float alpha, const float* a,
                          int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);

DnnlSgemm find() {
  // Also finds what the libraries that this addon was linked to have loaded.
  return reinterpret_cast<DnnlSgemm>(dlsym(RTLD_DEFAULT, "dnnl_sgemm"));
}

DnnlSgemm function() {
  static const DnnlSgemm found = find();
  return found;
}

}  // namespace
}  // namespace mamba_prune::sgemm_impl

namespace mamba_prune {

bool has_fast_sgemm() { return sgemm_impl::function() != nullptr; }

void sgemm(const Sgemm& p) {
  const int status = sgemm_impl::function()(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1.0f,
                                            p.a, p.lda, p.b, p.ldb, p.beta, p.c, p.ldc);
  if (status != 0) throw std::runtime_error("sgemm: oneDNN refused the product with status " + std::to_string(status));
}

}  // namespace mamba_prune
