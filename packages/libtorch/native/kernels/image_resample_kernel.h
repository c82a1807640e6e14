// The pass of a resampling as Pillow does it for 8 bits: every output line is a weighted sum of input lines, in
// integers of 22 fractional bits, rounded and clipped to bytes. A pass along the rows of a picture is one along the
// lines of its transpose, so that what is summed always lies side by side. Included by isa_*.cc.
#include <cstring>

#include "image_resample_args.h"

namespace mamba_prune {
namespace MP_ISA {

// in [lines, length] -> out [outputs, length]
inline void combine_lines(const LineWeights& axis, const uint8_t* in, int64_t length, uint8_t* out) {
  constexpr int kLanes = 16, kVectors = 4;
  typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
  typedef int32_t Sums __attribute__((vector_size(4 * kLanes)));
  constexpr int32_t kFractionBits = 22, kHalf = 1 << (kFractionBits - 1);
  // By reference: how a vector of this width is passed by value depends on the compiler.
  const auto clipped = [](const Sums& sum) {
    Sums value = sum >> kFractionBits;
    value = value < 0 ? Sums{} : value;
    const Sums most = Sums{} + 255;
    return __builtin_convertvector(value > most ? most : value, Bytes);
  };
  for (int64_t i = 0; i < axis.outputs; i++) {
    const int32_t* weights = axis.weights + i * axis.taps;
    const uint8_t* first = in + axis.starts[i] * length;
    const int32_t count = axis.counts[i];
    int64_t at = 0;
    for (; at + kLanes * kVectors <= length; at += kLanes * kVectors) {
      Sums sums[kVectors];
      for (Sums& sum : sums) sum = Sums{} + kHalf;
      const uint8_t* line = first + at;
      for (int32_t k = 0; k < count; k++, line += length) {
        for (int v = 0; v < kVectors; v++) {
          Bytes bytes;
          std::memcpy(&bytes, line + v * kLanes, kLanes);
          sums[v] += __builtin_convertvector(bytes, Sums) * weights[k];
        }
      }
      for (int v = 0; v < kVectors; v++) {
        const Bytes bytes = clipped(sums[v]);
        std::memcpy(out + at + v * kLanes, &bytes, kLanes);
      }
    }
    for (; at < length; at++) {
      int32_t sum = kHalf;
      for (int32_t k = 0; k < count; k++) sum += first[k * length + at] * weights[k];
      sum >>= kFractionBits;
      out[at] = static_cast<uint8_t>(sum < 0 ? 0 : sum > 255 ? 255 : sum);
    }
    out += length;
  }
}

// out[x * to_stride + y] = in[y * from_stride + x * step], in squares whose lines stay in the cache.
inline void transpose_bytes(const uint8_t* in, int64_t lines, int64_t from_stride, int64_t length, int64_t step,
                            uint8_t* out, int64_t to_stride) {
  constexpr int64_t kSide = 16;
  int64_t y0 = 0;
  for (; y0 + kSide <= lines; y0 += kSide) {
    const uint8_t* from = in + y0 * from_stride;
    for (int64_t x = 0; x < length; x++, from += step) {
      uint8_t column[kSide];
      for (int64_t y = 0; y < kSide; y++) column[y] = from[y * from_stride];
      std::memcpy(out + x * to_stride + y0, column, kSide);
    }
  }
  for (; y0 < lines; y0++) {
    for (int64_t x = 0; x < length; x++) out[x * to_stride + y0] = in[y0 * from_stride + x * step];
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
