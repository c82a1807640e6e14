// Chooses the products in low precision at run time, by what the processor says that it has.
#include "low_precision.h"

#include <cstdlib>

namespace mamba_prune {
namespace low_precision_impl {
namespace {

// One instruction set with a product in some precision.
struct Candidate {
  const LowKernels* kernels;
  bool supported;
};

const LowKernels* choose(LowPrecision precision) {
#ifdef MP_HAVE_AVX512
  // Someone who asks for an older instruction set wants what a processor of that kind would do.
  if (isa().name != std::string("avx512") || !__builtin_cpu_supports("avx512bw")) return nullptr;
  const Candidate candidates[] = {
      {&avx512_bf16::kernels, static_cast<bool>(__builtin_cpu_supports("avx512bf16"))},
      {&avx512_vnni::kernels, static_cast<bool>(__builtin_cpu_supports("avx512vnni"))},
  };
  for (const Candidate& each : candidates)
    if (each.supported && each.kernels->precision == precision) return each.kernels;
#endif
  return nullptr;
}

}  // namespace
}  // namespace low_precision_impl

const LowKernels* low_kernels(LowPrecision precision) {
  static const LowKernels* const bf16 = low_precision_impl::choose(LowPrecision::bf16);
  static const LowKernels* const int8 = low_precision_impl::choose(LowPrecision::int8);
  return precision == LowPrecision::bf16 ? bf16 : int8;
}

std::string low_kernels_missing(LowPrecision precision) {
  if (low_kernels(precision)) return "";
#ifdef MP_HAVE_X86_ISAS
  const char* forced = std::getenv("MAMBA_PRUNE_ISA");
  if (forced && *forced) return "MAMBA_PRUNE_ISA asks for the instruction set " + std::string(isa().name);
  return precision == LowPrecision::bf16 ? "this processor has no AVX512_BF16" : "this processor has no AVX512_VNNI";
#else
  return "there are kernels for it on x86-64 only";
#endif
}

}  // namespace mamba_prune
