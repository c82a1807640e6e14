// Chooses the products in low precision at run time, by what the processor says that it has.
#include "low_precision.h"

#include <cstdlib>
#ifdef MP_HAVE_AVX512
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mamba_prune {
namespace low_precision_impl {
namespace {

// One instruction set with a product in some precision.
struct Candidate {
  const LowKernels* kernels;
  bool supported;
};

#ifdef MP_HAVE_AVX512
// Whether the processor has AMX with this bit of leaf 7 (24: tiles, 22: bfloat16, 25: int8), and Linux lets the process
// have the 8 KB of tiles in each thread's saved state, which it wants to be asked for.
bool has_amx(int bit) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 24 & 1) || !(d >> bit & 1)) return false;
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

const LowKernels* choose(LowPrecision precision) {
#ifdef MP_HAVE_AVX512
  // Someone who asks for an older instruction set wants what a processor of that kind would do: AVX-512 has no AMX.
  if (isa().name != std::string("avx512") || !__builtin_cpu_supports("avx512bw")) return nullptr;
  const bool bf16 = __builtin_cpu_supports("avx512bf16"), vnni = __builtin_cpu_supports("avx512vnni");
  const char* forced = std::getenv("MAMBA_PRUNE_ISA");
  const bool tiles = !forced || !*forced;
  // The fastest first.
  const Candidate candidates[] = {
      {&amx_bf16::kernels, tiles && bf16 && has_amx(22)},
      {&amx_int8::kernels, tiles && vnni && bf16 && has_amx(25)},
      {&avx512_bf16::kernels, bf16},
      {&avx512_vnni::kernels, vnni},
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

const LowBlocks& low_blocks() {
#ifdef MP_HAVE_AVX512
  if (low_kernels(LowPrecision::bf16)) return low_blocks_bf16::blocks;
#endif
  return isa().low;
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
