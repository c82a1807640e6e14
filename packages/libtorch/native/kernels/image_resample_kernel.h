// The pass of a resampling as Pillow does it for 8 bits: every output line is a weighted sum of input lines, in
// integers of 22 fractional bits, rounded and clipped to bytes. A pass along the rows of a picture is one along the
// lines of its transpose, so that what is summed always lies side by side. Included by isa_*.cc.
#include "image_resample_args.h"

namespace mamba_prune {
namespace MP_ISA {

// 64 bytes as sums of 32 bits. Written out for AVX: GCC 12 widens bytes of its own vector types one by one.
struct Columns {
#if defined(__AVX512F__)
  static constexpr int kVectors = 4, kLanes = 16;
  __m512i sums[kVectors];
  void fill(int32_t value) {
    for (__m512i& sum : sums) sum = _mm512_set1_epi32(value);
  }
  void add(const uint8_t* line, int32_t weight) {
    const __m512i factor = _mm512_set1_epi32(weight);
    for (int v = 0; v < kVectors; v++) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(line + v * kLanes));
      sums[v] = _mm512_add_epi32(sums[v], _mm512_mullo_epi32(_mm512_cvtepu8_epi32(bytes), factor));
    }
  }
  void write(int bits, uint8_t* out) const {
    for (int v = 0; v < kVectors; v++) {
      const __m512i value = _mm512_max_epi32(_mm512_srai_epi32(sums[v], bits), _mm512_setzero_si512());
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + v * kLanes), _mm512_cvtusepi32_epi8(value));
    }
  }
#elif defined(__AVX2__)
  static constexpr int kVectors = 8, kLanes = 8;
  __m256i sums[kVectors];
  void fill(int32_t value) {
    for (__m256i& sum : sums) sum = _mm256_set1_epi32(value);
  }
  void add(const uint8_t* line, int32_t weight) {
    const __m256i factor = _mm256_set1_epi32(weight);
    for (int v = 0; v < kVectors; v++) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(line + v * kLanes));
      sums[v] = _mm256_add_epi32(sums[v], _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), factor));
    }
  }
  void write(int bits, uint8_t* out) const {
    // Both packs clip, and put the halves of their registers side by side.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int v = 0; v < kVectors; v += 4) {
      const __m256i first = _mm256_packs_epi32(_mm256_srai_epi32(sums[v], bits), _mm256_srai_epi32(sums[v + 1], bits));
      const __m256i second =
          _mm256_packs_epi32(_mm256_srai_epi32(sums[v + 2], bits), _mm256_srai_epi32(sums[v + 3], bits));
      const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + v * kLanes), bytes);
    }
  }
#else
  static constexpr int kVectors = 1, kLanes = 64;
  int32_t sums[kLanes];
  void fill(int32_t value) {
    for (int32_t& sum : sums) sum = value;
  }
  void add(const uint8_t* line, int32_t weight) {
    for (int i = 0; i < kLanes; i++) sums[i] += line[i] * weight;
  }
  void write(int bits, uint8_t* out) const {
    for (int i = 0; i < kLanes; i++) {
      const int32_t value = sums[i] >> bits;
      out[i] = static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
    }
  }
#endif
};

// in [lines, length] -> out [outputs, length]
inline void combine_lines(const LineWeights& axis, const uint8_t* in, int64_t length, uint8_t* out) {
  constexpr int32_t kFractionBits = 22, kHalf = 1 << (kFractionBits - 1);
  constexpr int64_t kColumns = Columns::kVectors * Columns::kLanes;
  for (int64_t i = 0; i < axis.outputs; i++) {
    const int32_t* weights = axis.weights + i * axis.taps;
    const uint8_t* first = in + axis.starts[i] * length;
    const int32_t count = axis.counts[i];
    const auto block = [&](int64_t at) {
      Columns columns;
      columns.fill(kHalf);
      const uint8_t* line = first + at;
      for (int32_t k = 0; k < count; k++, line += length) columns.add(line, weights[k]);
      columns.write(kFractionBits, out + at);
    };
    int64_t at = 0;
    for (; at + kColumns <= length; at += kColumns) block(at);
    // The last block overlaps the one before, where there is one: it computes the same bytes again.
    if (at < length && length >= kColumns) {
      block(length - kColumns);
      at = length;
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
