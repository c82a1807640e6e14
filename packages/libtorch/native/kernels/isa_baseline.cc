// Kernels for the compiler's default target: SSE2 on x86-64; NEON, which every arm64 processor has, on arm64.
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernel_table.h"

#define MP_ISA baseline
#define MP_BYTES 16
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
#include "isa_table.h"

namespace mamba_prune::baseline {
const KernelTable<double> f64 = table<double>();
}  // namespace mamba_prune::baseline
