// The body of every isa_*.cc: all kernels, compiled for the instruction set MP_ISA.
#include "simd.h"
#include "simd_math.h"
#include "scan_forward_kernel.h"
#include "scan_backward_kernel.h"
#include "conv_kernel.h"
#include "gelu_kernel.h"
#include "rms_norm_kernel.h"
#include "gemm_kernel.h"
#include "layer_norm_kernel.h"
#include "team_kernel.h"
#include "packed_gemm_kernel.h"
#include "training_product_kernel.h"
#include "block_kernel.h"
#include "vit_block_kernel.h"
#if MP_BYTES == 64
#include "bf16_store.h"
#include "low_math.h"
#include "low_factor.h"
#include "low_stage.h"
#include "low_scan_kernel.h"
#include "low_block_kernel.h"
#include "low_vit_kernel.h"
#endif
#include "winograd_kernel.h"
#include "image_conv_kernel.h"
#include "image_resample_kernel.h"
#include "optimizer_kernel.h"

#define MP_STRING2(x) #x
#define MP_STRING(x) MP_STRING2(x)

namespace mamba_prune {
namespace MP_ISA {

template <class T> constexpr KernelTable<T> table() {
  return {kTile<T>,        scan_forward<T>,  scan_backward<T>, conv_forward<T>, conv_backward<T>,
          gelu_forward<T>, gelu_backward<T>, rms_forward<T>,   rms_backward<T>, adamw<T>,
          sgd<T>,          ema<T>,           scale<T>,         sum_squares<T>};
}
extern const Isa isa;
// Processors with products in low precision have AVX-512.
#if MP_BYTES == 64
constexpr LowBlocks low_blocks = {low_block_forward, low_vit_forward};
#else
constexpr LowBlocks low_blocks = {};
#endif
const Isa isa = {MP_STRING(MP_ISA),  table<float>(),      block_pack,    block_forward,   kPanel,
                 vit_forward,        conv_block_forward,  combine_lines, transpose_bytes, low_blocks,
                 layer_norm_forward, layer_norm_backward, panel_stride,  pack_panels,     pack_row_panels,
                 packed_slice,       outer_product,       kGemmRows,     kOuterScratch,   MP_BYTES > 16,
                 MP_BYTES == 64};

}  // namespace MP_ISA
}  // namespace mamba_prune
