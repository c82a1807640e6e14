// Which products in low precision this processor has. No torch headers: included by isa_*.cc.
#pragma once
#include <string>

#include "kernel_table.h"
#include "low_precision_args.h"

namespace mamba_prune {

#ifdef MP_HAVE_AVX512
namespace amx_bf16 {
extern const LowKernels kernels;
}
namespace amx_int8 {
extern const LowKernels kernels;
}
namespace avx512_bf16 {
extern const LowKernels kernels;
}
namespace avx512_vnni {
extern const LowKernels kernels;
}
namespace low_blocks_bf16 {
extern const LowBlocks blocks;
}
#endif

// The fastest kernels of a precision on this processor, chosen once; null if it has none.
const LowKernels* low_kernels(LowPrecision precision);

// The blocks for this processor, where it has products in low precision.
const LowBlocks& low_blocks();

// Why there are none, as the end of a sentence; empty if there are.
std::string low_kernels_missing(LowPrecision precision);

}  // namespace mamba_prune
