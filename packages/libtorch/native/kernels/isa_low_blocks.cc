// Whole blocks in low precision for processors that round to bfloat16 in one instruction, which all with such products
// have but those of AVX512_VNNI alone. For the order of the includes see isa_table.h.
#include <cmath>
#include <cstdint>
#include <utility>

#include "kernel_table.h"
#include "low_precision.h"

#ifdef MP_HAVE_AVX512
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx512bf16,avx2,fma,prefer-vector-width=512")
#define MP_ISA low_blocks_bf16
#define MP_BYTES 64
#define MP_ROUNDS_BF16
#include "simd.h"
#include "simd_math.h"
#include "scan_forward_kernel.h"
#include "conv_kernel.h"
#include "gelu_kernel.h"
#include "rms_norm_kernel.h"
#include "gemm_kernel.h"
#include "layer_norm_kernel.h"
#include "team_kernel.h"
#include "packed_gemm_kernel.h"
#include "block_kernel.h"
#include "vit_block_kernel.h"
#include "bf16_store.h"
#include "low_math.h"
#include "low_factor.h"
#include "low_stage.h"
#include "low_scan_kernel.h"
#include "low_block_kernel.h"
#include "low_vit_kernel.h"

namespace mamba_prune::low_blocks_bf16 {
extern const LowBlocks blocks;
const LowBlocks blocks = {low_block_forward, low_vit_forward};
}  // namespace mamba_prune::low_blocks_bf16
#endif
