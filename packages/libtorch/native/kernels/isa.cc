// Chooses the kernels at run time, so that one binary runs on any processor of its architecture.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernel_table.h"

namespace mamba_prune {
namespace {

const Isa& choose() {
  const Isa* available[3] = {&baseline::isa};
  int count = 1;
#ifdef MP_HAVE_X86_ISAS
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) available[count++] = &avx2::isa;
#ifdef MP_HAVE_AVX512
  if (count == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    available[count++] = &avx512::isa;
#endif
#endif
  const char* forced = std::getenv("MAMBA_PRUNE_ISA");
  if (!forced || !*forced) return *available[count - 1];
  std::string names;
  for (int i = 0; i < count; i++) {
    if (std::string(forced) == available[i]->name) return *available[i];
    names += (i ? ", " : "") + std::string(available[i]->name);
  }
  throw std::runtime_error("MAMBA_PRUNE_ISA: got \"" + std::string(forced) + "\", expected one of: " + names +
                           ". Unset it to use the fastest.");
}

}  // namespace

const Isa& isa() {
  static const Isa& chosen = choose();
  return chosen;
}

}  // namespace mamba_prune
