// The kernels of one instruction set as a table of function pointers, and the choice at run time.
// No torch headers here: this is included by translation units compiled for newer instruction sets.
//
// Build: -fopenmp everywhere (at::parallel_for runs serially without it), no -march and no -ffast-math; the isa_*.cc
// choose their instruction set themselves and take -O3 where it matters: -O2 makes the scan 1.5 times slower.
#pragma once
#include <cstdint>

#include "block_args.h"
#include "conv_args.h"
#include "elementwise_args.h"
#include "image_conv_args.h"
#include "image_resample_args.h"
#include "scan_args.h"
#include "vit_block_args.h"

namespace mamba_prune {

template <class T> struct KernelTable {
  int64_t scan_tile;  // channels per tile
  void (*scan_forward)(const ScanForward<T>&, int64_t begin, int64_t end, T* scratch);
  void (*scan_backward)(const ScanBackward<T>&, int64_t begin, int64_t end, T* scratch);
  void (*conv_forward)(const ConvForward<T>&, int64_t begin, int64_t end, T* scratch);
  void (*conv_backward)(const ConvBackward<T>&, int64_t begin, int64_t end, T* scratch);
  void (*gelu_forward)(const GeluArgs<T>&, int64_t begin, int64_t end);
  void (*gelu_backward)(const GeluArgs<T>&, int64_t begin, int64_t end);
  void (*rms_forward)(const RmsNormArgs<T>&, int64_t begin, int64_t end);
  void (*rms_backward)(const RmsNormArgs<T>&, int64_t begin, int64_t end);
  void (*adamw)(const AdamWStep<T>&, T* param, const T* grad, T* avg, T* avg_sq, int64_t count);
  void (*sgd)(const SgdStep<T>&, T* param, const T* grad, T* velocity, int64_t count);
  void (*ema)(T decay, T* average, const T* param, int64_t count);
  void (*scale)(T factor, T* values, int64_t count);
  double (*sum_squares)(const T* values, int64_t count);
};

// Blocks whose matrices are in low precision; null where there are none.
struct LowBlocks {
  void (*block_forward)(const BlockArgs&, int64_t part, int64_t parts, float* scratch, BlockClock& clock);
  void (*vit_forward)(const VitArgs&, int64_t part, int64_t parts, float* scratch);
};

struct Isa {
  const char* name;
  KernelTable<float> f32;
  void (*block_pack)(const BlockArgs&, int64_t part, int64_t parts);
  void (*block_forward)(const BlockArgs&, int64_t part, int64_t parts, float* scratch, BlockClock& clock);
  int64_t panel;  // columns of a panel of packed weights
  void (*vit_forward)(const VitArgs&, int64_t part, int64_t parts, float* scratch);
  void (*conv_block_forward)(const ConvBlock&, int64_t part, int64_t parts, float* scratch);
  void (*combine_lines)(const LineWeights&, const uint8_t* in, int64_t length, uint8_t* out);
  void (*transpose_bytes)(const uint8_t* in, int64_t lines, int64_t from_stride, int64_t length, int64_t step,
                          uint8_t* out, int64_t to_stride);
  LowBlocks low;
  void (*layer_norm_forward)(const LayerNormArgs&, int64_t begin, int64_t end);
  void (*layer_norm_backward)(const LayerNormArgs&, int64_t begin, int64_t end);
  int64_t (*panel_stride)(int64_t depth);  // floats from one panel of PanelPacking to the next
  void (*pack_panels)(const PanelPacking&, int64_t begin, int64_t end);
  void (*pack_row_panels)(const PanelPacking&, int64_t begin, int64_t end);
  void (*packed_slice)(const PackedProduct&, int64_t slice, int64_t slices);
  void (*outer_product)(const OuterProduct&, int64_t begin, int64_t end, float* scratch);
  int64_t tile_rows;      // of a tile of the products
  int64_t outer_scratch;  // floats
  bool has_products;      // whether our products are as fast as those of oneDNN: with AVX2 and AVX-512
  // Whether oneDNN adds up in the same order with any number of threads: with AVX-512. With AVX2 it divides sums among
  // three threads and more.
  bool library_keeps_order;
};

namespace baseline {
extern const Isa isa;
// float64 is for checking gradients: compiled once, for every processor.
extern const KernelTable<double> f64;
}  // namespace baseline
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MP_HAVE_X86_ISAS 1
namespace avx2 {
extern const Isa isa;
}
// The build says so where the processor has no AVX-512: those kernels take long to compile.
#ifndef MAMBA_PRUNE_NO_AVX512
#define MP_HAVE_AVX512 1
namespace avx512 {
extern const Isa isa;
}
#endif
#endif

// The best instruction set of this processor, or the one named by MAMBA_PRUNE_ISA (baseline, avx2,
// avx512). Chosen once. Throws std::runtime_error if the variable names one that cannot run here.
const Isa& isa();

template <class T> const KernelTable<T>& kernels();
template <> inline const KernelTable<float>& kernels<float>() { return isa().f32; }
template <> inline const KernelTable<double>& kernels<double>() { return baseline::f64; }

}  // namespace mamba_prune
