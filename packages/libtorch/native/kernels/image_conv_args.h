// Plain-data arguments of convolutions over images at inference, channels last: no torch headers.
#pragma once
#include <cstdint>

#include "packed_args.h"

namespace mamba_prune {

// How a convolution is computed. `gather`: the pixels under the kernel side by side, times the weights as a matrix.
// The others are Winograd's minimal algorithms for 3x3 at stride 1 (Lavin and Gray 2016, arXiv 1509.09308), which
// compute squares of 2x2 or 4x4 pixels with 2.25 and 4 times fewer multiplications; their value is that side.
enum class ConvForm : int64_t { gather = 0, winograd2 = 2, winograd4 = 4 };

struct ImageConv {
  int64_t in, out;         // channels
  int64_t kernel, stride;  // square; zeros of width kernel / 2 around the image
  int64_t height, width;   // of the input
  const float* weight;     // packed: [1, panels, kernel^2 in, panel], or [(side + 2)^2, panels, in, panel]
  const float* bias;       // [out]
  ConvForm form;

  int64_t side(int64_t size) const { return (size + 2 * (kernel / 2) - kernel) / stride + 1; }
  int64_t out_height() const { return side(height); }
  int64_t out_width() const { return side(width); }
  int64_t out_pixels() const { return out_height() * out_width(); }
  // Squares of one image.
  int64_t tiles() const {
    const int64_t edge = static_cast<int64_t>(form);
    return ((height + edge - 1) / edge) * ((width + edge - 1) / edge);
  }
  int64_t positions() const {
    const int64_t edge = static_cast<int64_t>(form) + 2;
    return form == ConvForm::gather ? 1 : edge * edge;
  }
  int64_t depth() const { return form == ConvForm::gather ? kernel * kernel * in : in; }
  // Whether the input's rows are those of the product as they are.
  bool direct() const { return form == ConvForm::gather && kernel == 1 && stride == 1; }
};

// Working memory of one convolution: inputs and results of the products, for so many rows (pixels or squares) at a time
// that they stay near, and enough that the weights are not read too often.
struct ConvScratch : Layout {
  static constexpr int64_t kFloats = 48 * 1024, kLeastRows = 48, kGroup = 12;
  int64_t row_in, row_out;        // floats of one row, in full registers
  int64_t in_stride, out_stride;  // from one position to the next
  int64_t rows, inputs, results;
  ConvScratch(const ImageConv& c, int64_t batch) {
    const bool winograd = c.form != ConvForm::gather;
    row_in = c.direct() ? 0 : winograd ? padded(c.in) : c.depth();
    row_out = winograd ? padded(c.out) : 0;
    const int64_t all = batch * (winograd ? c.tiles() : c.out_pixels()), one = c.positions() * (row_in + row_out);
    rows = one == 0 ? 132 : kFloats / one / kGroup * kGroup;
    if (rows < kLeastRows) rows = kLeastRows;
    if (rows > all) rows = all;
    // A line more, or the positions would often lie a multiple of 4 KB apart and push each other out of the first-level
    // cache.
    in_stride = rows * row_in + 16, out_stride = rows * row_out + 16;
    inputs = take(c.positions() * in_stride), results = take(c.positions() * out_stride);
  }
  static int64_t padded(int64_t channels) { return (channels + 15) / 16 * 16; }
};

// A block of convolutions, each followed by ReLU; the last may add a shortcut before it.
struct ConvBlock {
  static constexpr int64_t kMost = 4;
  int64_t count;  // of convolutions in a row
  ImageConv convs[kMost];
  bool identity;   // the shortcut is the input
  bool projected;  // the shortcut is `shortcut` of the input
  ImageConv shortcut;
  int64_t batch;
  const float* x;  // [batch, height, width, channels]
  float* y;
};

// Working memory of a block for `batch` images: what lies between the convolutions, and the largest of theirs.
struct ConvBlockScratch : Layout {
  int64_t between[ConvBlock::kMost], shortcut, convolution;
  ConvBlockScratch(const ConvBlock& b, int64_t batch) : shortcut(0) {
    int64_t most = 0;
    const auto add = [&](const ImageConv& c) {
      const int64_t needed = ConvScratch(c, batch).total;
      if (needed > most) most = needed;
      return batch * c.out_pixels() * c.out;
    };
    for (int64_t i = 0; i < b.count; i++) {
      const int64_t size = add(b.convs[i]);
      between[i] = i + 1 < b.count ? take(size) : 0;
    }
    if (b.projected) shortcut = take(add(b.shortcut));
    convolution = take(most);
  }
};

}  // namespace mamba_prune
