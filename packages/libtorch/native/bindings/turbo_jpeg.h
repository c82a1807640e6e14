// libjpeg-turbo, where the system has its TurboJPEG library: it is opened at run time, so that nothing needs it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mamba_prune {

// Whether the library is there.
bool has_turbo_jpeg();

// Its file, or its name where the system does not tell the file; empty if it is not there.
std::string turbo_jpeg_path();

struct DecodedJpeg {
  int width = 0, height = 0;
  int channels = 0;  // 1 or 3: grey, red green blue
};

// Decodes in full size and with the exact transform, as Pillow and libvips do. False for every file that has to be
// looked at more closely: not a JPEG, turned by its EXIF orientation, of four channels, of a rare
// subsampling, with more than `most_pixels`, or with anything that libjpeg warns of.
bool decode_jpeg(const std::vector<uint8_t>& file, int64_t most_pixels, DecodedJpeg& info,
                 std::vector<uint8_t>& pixels);

}  // namespace mamba_prune
