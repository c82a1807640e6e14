#include "bindings/turbo_jpeg.h"

#include <dlfcn.h>

#include <cstring>

namespace mamba_prune {

namespace {

// From TurboJPEG's API, which later versions keep: turbojpeg.h 2.0 and 3.0.
constexpr int kPixelRgb = 0, kPixelGrey = 6;
constexpr int kColoursRgb = 0, kColoursYCbCr = 1, kColoursGrey = 2;
// 4:4:4, 4:2:2, 4:2:0 and grey. How rarer ones are spread over the pixels differs between versions.
constexpr int kLastUsualSubsampling = 3;
constexpr int kAccurateDct = 4096, kStopOnWarning = 8192;

struct TurboJpeg {
  void* (*init)() = nullptr;
  int (*header)(void*, const unsigned char*, unsigned long, int*, int*, int*, int*) = nullptr;
  int (*decompress)(void*, const unsigned char*, unsigned long, unsigned char*, int, int, int, int, int) = nullptr;
  int (*destroy)(void*) = nullptr;
  bool is_there = false;
  std::string path;

  TurboJpeg() {
    void* library = nullptr;
    for (const char* name : {"libturbojpeg.so.0", "libturbojpeg.0.dylib", "/opt/homebrew/lib/libturbojpeg.0.dylib"}) {
      library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
      if (library) break;
    }
    if (!library) return;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    is_there = find(init, "tjInitDecompress") && find(header, "tjDecompressHeader3") &&
               find(decompress, "tjDecompress2") && find(destroy, "tjDestroy");
    if (!is_there) return;
    Dl_info place{};
    const bool is_told = dladdr(reinterpret_cast<void*>(init), &place) != 0 && place.dli_fname;
    path = is_told ? place.dli_fname : "libturbojpeg";
  }
};

const TurboJpeg& turbo() {
  static const TurboJpeg library;
  return library;
}

// One for each thread: it holds the tables of the last file.
struct Decoder {
  void* handle = turbo().init();
  ~Decoder() {
    if (handle) turbo().destroy(handle);
  }
};

uint32_t number(const uint8_t* at, int bytes, bool little) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= static_cast<uint32_t>(at[i]) << (8 * (little ? i : bytes - 1 - i));
  return value;
}

// Whether an APP1 segment says that the picture is to be turned, or what it says cannot be read.
bool turns(const uint8_t* segment, size_t size) {
  if (size < 6 || std::memcmp(segment, "Exif\0\0", 6) != 0) return false;
  const uint8_t* tiff = segment + 6;
  const size_t length = size - 6;
  if (length < 8) return true;
  const bool little = tiff[0] == 'I';
  const size_t directory = number(tiff + 4, 4, little);
  if (directory + 2 > length) return true;
  const size_t entries = number(tiff + directory, 2, little);
  if (directory + 2 + 12 * entries > length) return true;
  for (size_t i = 0; i < entries; i++) {
    const uint8_t* entry = tiff + directory + 2 + 12 * i;
    if (number(entry, 2, little) == 0x0112) return number(entry + 8, 2, little) != 1;
  }
  return false;
}

// Walks over the segments before the first scan.
bool is_upright_jpeg(const std::vector<uint8_t>& file) {
  if (file.size() < 4 || file[0] != 0xff || file[1] != 0xd8) return false;
  size_t at = 2;
  while (at + 4 <= file.size()) {
    if (file[at] != 0xff) return false;
    const uint8_t marker = file[at + 1];
    if (marker == 0xff) {
      at++;
      continue;
    }
    if (marker == 0xda) return true;
    const size_t length = number(&file[at + 2], 2, false);
    if (length < 2 || at + 2 + length > file.size()) return false;
    if (marker == 0xe1 && turns(&file[at + 4], length - 2)) return false;
    at += 2 + length;
  }
  return false;
}

}  // namespace

bool has_turbo_jpeg() { return turbo().is_there; }

std::string turbo_jpeg_path() { return turbo().path; }

bool decode_jpeg(const std::vector<uint8_t>& file, int64_t most_pixels, DecodedJpeg& info,
                 std::vector<uint8_t>& pixels) {
  if (!has_turbo_jpeg() || !is_upright_jpeg(file)) return false;
  static thread_local Decoder decoder;
  if (!decoder.handle) return false;
  int subsampling = 0, colours = 0;
  if (turbo().header(decoder.handle, file.data(), file.size(), &info.width, &info.height, &subsampling, &colours) !=
      0) {
    return false;
  }
  if (info.width <= 0 || info.height <= 0) return false;
  if (static_cast<int64_t>(info.width) * info.height > most_pixels) return false;
  if (colours != kColoursRgb && colours != kColoursYCbCr && colours != kColoursGrey) return false;
  if (subsampling < 0 || subsampling > kLastUsualSubsampling) return false;
  info.channels = colours == kColoursGrey ? 1 : 3;
  const size_t bytes = static_cast<size_t>(info.width) * info.height * info.channels;
  if (pixels.size() < bytes) pixels.resize(bytes);
  return turbo().decompress(decoder.handle, file.data(), file.size(), pixels.data(), info.width, 0, info.height,
                            info.channels == 1 ? kPixelGrey : kPixelRgb, kAccurateDct | kStopOnWarning) == 0;
}

}  // namespace mamba_prune
