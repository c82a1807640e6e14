// What augment.cu and those who check its arguments and run it, on either device, share.
#pragma once
#include "interface.h"
#ifndef __CUDACC__
#include <cstdint>
#endif

namespace mamba_prune {
namespace augment {

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
#ifdef __CUDACC__
typedef long long i64;
#else
typedef int64_t i64;
#endif

enum OutputType { kFloat32, kBfloat16, kFloat16 };
constexpr int kMaxRandOps = 16;
constexpr int kThreads = 256;  // of a block on a GPU

// What a kernel is given; the same layout on host and device. Images are planar, [channels, height, width].
struct AugmentArgs {
  const u8* images;    // [count, channels, height, width]
  const i64* labels;   // [count]
  const i64* order;    // [rows], images of the epoch in their order
  const i64* samples;  // [rows], numbers that the random choices hang on; null: those of `order`
  const i64* state;    // seed, epoch, step
  const float* mean;   // [channels], of pixels scaled to 0..1
  const float* std;
  void* out;           // [batch, channels, height, width]
  i64* out_labels;     // [batch]
  float* out_targets;  // [batch, classes], or null
  u8* scratch;         // kernel only: canvases of every block, or null for those in shared memory
  i64 count, rows, batch, first_row, global_batch;
  int channels, height, width, classes;
  int output;    // OutputType
  int canvases;  // pictures that a block needs room for: two that take turns, and a third if there is a partner
  int pad_crop, flip, rand_ops, nearest, cutout, resized;
  double magnitude, mixup, cutmix, mix_probability, erasing;
  double scale_low, scale_high, ratio_low, ratio_high;  // of the resized crop
};
MAMBA_PRUNE_CHECK_LAYOUT(AugmentArgs, 11 * 8 + 5 * 8 + 12 * 4 + 9 * 8);

}  // namespace augment
}  // namespace mamba_prune
