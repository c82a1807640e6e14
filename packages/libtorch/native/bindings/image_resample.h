// Resizing as Pillow 13 does it for 8 bits a channel, byte for byte (src/libImaging/Resample.c): a pass along the rows
// and one along the columns, integers of 22 fractional bits, bytes in between. preparation/resample.ts is the same in
// TypeScript, for pages and servers without the addon; both are held against Pillow by one set of cases.
#pragma once

#include <cstdint>
#include <vector>

namespace mamba_prune {

enum class Filter { bilinear, bicubic };

// A part of a picture: rows of pixels, `step` bytes each.
struct Picture {
  const uint8_t* data;
  int64_t width, height, stride;
  int step;
};

// The size to which a picture is resized, and where the square lies in it.
struct Frame {
  int64_t width, height, left, top;
};

// Memory that is used again from picture to picture.
struct ResampleBuffers {
  std::vector<uint8_t> first, second;
};

// Writes [planes, size, size], of the first `planes` bytes of every pixel.
void resample(const Picture& picture, int planes, const Frame& frame, int64_t size, Filter filter, uint8_t* out,
              ResampleBuffers& buffers);

}  // namespace mamba_prune
