// Pictures to the squares that models take, on threads of our own: JPEG files are read, decoded, cut and resized in one
// go, pictures that another decoder gave are cut and resized. The thread that runs JavaScript only hands them over.
#include "bindings/addon.h"
#include "bindings/arguments.h"
#include "bindings/image_floats.h"
#include "bindings/image_pool.h"
#include "bindings/image_resample.h"
#include "bindings/turbo_jpeg.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

namespace mamba_prune {

namespace {

// Larger pictures take the way that counts memory.
constexpr int64_t kMostPixels = int64_t{1} << 24;
constexpr int kMostSide = 1 << 24;
// A picture one pixel wide is resized to its length times the square's, of which only the square is computed.
constexpr int64_t kMostFrame = int64_t{1} << 52;
constexpr int kMostThreads = 1024;
// What a thread keeps for the next file.
constexpr size_t kKeptBytes = size_t{8} << 20;

// The part of a picture that is resized to a frame, and the square that is cut out of that.
struct Square {
  int width, height;  // of the picture
  int left, top, part_width, part_height;
  Frame frame;
  int size, channels;
  Filter filter;
  uint8_t* out;  // [channels, size, size]

  void fill(const uint8_t* pixels, int step, int planes, ResampleBuffers& buffers) const {
    const int64_t stride = static_cast<int64_t>(width) * step;
    const Picture part{pixels + top * stride + static_cast<int64_t>(left) * step, part_width, part_height, stride,
                       step};
    resample(part, planes, frame, size, filter, out, buffers);
    // A grey picture is all channels.
    const size_t plane = static_cast<size_t>(size) * size;
    for (int channel = planes; channel < channels; channel++) std::memcpy(out + channel * plane, out, plane);
  }
};

template <class T> void trim(std::vector<T>& values) {
  if (values.capacity() * sizeof(T) > kKeptBytes) std::vector<T>().swap(values);
}

// What a thread uses again from picture to picture.
struct Scratch {
  std::vector<uint8_t> file, pixels;
  ResampleBuffers resample;

  void trim_all() { trim(file), trim(pixels), trim(resample.first), trim(resample.second); }
};

Scratch& scratch() {
  static thread_local Scratch mine;
  return mine;
}

bool read_file(const std::string& path, std::vector<uint8_t>& bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (!file) return false;
  size_t size = 0;
  bytes.resize(std::max<size_t>(bytes.capacity(), 64 << 10));
  for (;;) {
    const size_t got = std::fread(bytes.data() + size, 1, bytes.size() - size, file.get());
    size += got;
    if (size < bytes.size()) break;
    if (size >= size_t{1} << 30) return false;
    bytes.resize(2 * size);
  }
  if (std::ferror(file.get())) return false;
  bytes.resize(size);
  return true;
}

class JpegTask : public ImageTask {
 public:
  JpegTask(std::string path, const Square& square) : path_(std::move(path)), square_(square) {}

  void run() override {
    Scratch& mine = scratch();
    try {
      is_done_ = decode(mine);
    } catch (const std::bad_alloc&) {
      is_done_ = false;  // the usual way waits for room
    }
    mine.trim_all();
  }
  Napi::Value result(Napi::Env env) const override { return Napi::Boolean::New(env, is_done_); }

 private:
  bool decode(Scratch& mine) const {
    DecodedJpeg jpeg;
    if (!read_file(path_, mine.file) || !decode_jpeg(mine.file, kMostPixels, jpeg, mine.pixels)) return false;
    // Another file than the one that was checked: the usual way says so.
    if (jpeg.width != square_.width || jpeg.height != square_.height) return false;
    if (jpeg.channels > square_.channels) return false;
    square_.fill(mine.pixels.data(), jpeg.channels, jpeg.channels, mine.resample);
    return true;
  }

  std::string path_;
  Square square_;
  bool is_done_ = false;
};

class PixelsTask : public ImageTask {
 public:
  PixelsTask(const uint8_t* pixels, int step, const Square& square) : pixels_(pixels), step_(step), square_(square) {}

  void run() override {
    square_.fill(pixels_, step_, step_ >= 3 ? 3 : 1, scratch().resample);
    scratch().trim_all();
  }
  Napi::Value result(Napi::Env env) const override { return env.Undefined(); }

 private:
  const uint8_t* pixels_;
  int step_;
  Square square_;
};

Napi::Uint8Array bytes_argument(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsTypedArray()) {
    const auto type = value.As<Napi::TypedArray>().TypedArrayType();
    if (type == napi_uint8_array || type == napi_uint8_clamped_array) return value.As<Napi::Uint8Array>();
  }
  throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a Uint8Array");
}

// Arguments `next` and on: the memory that is written, width, height, left, top, the part's width and height, the
// frame's width, height, left and top, size, channels, filter.
Square square_argument(const Napi::CallbackInfo& info, size_t next, const char* where) {
  const Napi::Env env = info.Env();
  Napi::Uint8Array out = bytes_argument(env, info[next++], where);
  const auto integer = [&](const char* what, int low) { return whole(env, info[next++], what, low, kMostSide); };
  const auto in_frame = [&](const char* what, int64_t low) { return whole(env, info[next++], what, low, kMostFrame); };
  Square square;
  square.width = integer("width", 1), square.height = integer("height", 1);
  square.left = integer("left", 0), square.top = integer("top", 0);
  square.part_width = integer("the part's width", 1), square.part_height = integer("the part's height", 1);
  square.frame.width = in_frame("the frame's width", 1), square.frame.height = in_frame("the frame's height", 1);
  square.frame.left = in_frame("the frame's left", 0), square.frame.top = in_frame("the frame's top", 0);
  square.size = integer("size", 1), square.channels = integer("channels", 1);
  square.filter = string_argument(env, info[next++], "filter") == "bicubic" ? Filter::bicubic : Filter::bilinear;
  const bool fits = int64_t{square.left} + square.part_width <= square.width &&
                    int64_t{square.top} + square.part_height <= square.height &&
                    square.frame.left + square.size <= square.frame.width &&
                    square.frame.top + square.size <= square.frame.height && square.channels <= 4 &&
                    out.ElementLength() == static_cast<size_t>(square.channels) * square.size * square.size;
  if (!fits) {
    throw Napi::RangeError::New(
        env, std::string(where) + ": got a part or a square that lies outside, or memory of another size");
  }
  square.out = out.Data();
  return square;
}

ImageRoom* room_of(const Napi::CallbackInfo& info) { return static_cast<ImageRoom*>(info.Data()); }

// jpegSquare(path, out, ...) -> whether it was done; false for what is to be looked at more closely.
Napi::Value jpeg_square(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, "jpegSquare", [&]() -> Napi::Value {
    std::string path = string_argument(env, info[0], "path");
    const Square square = square_argument(info, 1, "jpegSquare");
    return queue_image_task(env, room_of(info), std::make_unique<JpegTask>(std::move(path), square),
                            {info[1].As<Napi::Object>()});
  });
}

// pixelsSquare(pixels, bytes of a pixel, out, ...)
Napi::Value pixels_square(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, "pixelsSquare", [&]() -> Napi::Value {
    Napi::Uint8Array pixels = bytes_argument(env, info[0], "pixelsSquare");
    const int step = whole(env, info[1], "bytes of a pixel", 1, 4);
    const Square square = square_argument(info, 2, "pixelsSquare");
    const size_t bytes = static_cast<size_t>(square.width) * square.height * step;
    if (pixels.ElementLength() < bytes || (step >= 3 && square.channels < 3)) {
      throw Napi::RangeError::New(env, "pixelsSquare: got " + std::to_string(pixels.ElementLength()) + " bytes for " +
                                           std::to_string(square.channels) + " channels, expected " +
                                           std::to_string(bytes) + " and a channel for each colour");
    }
    return queue_image_task(env, room_of(info), std::make_unique<PixelsTask>(pixels.Data(), step, square),
                            {info[0].As<Napi::Object>(), info[2].As<Napi::Object>()});
  });
}

Napi::Value has_jpeg(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), has_turbo_jpeg()); }

Napi::Value jpeg_library(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), turbo_jpeg_path()); }

Napi::Value threads(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, "imageThreads", [&]() -> Napi::Value {
    if (!info[0].IsUndefined()) set_image_threads(whole(env, info[0], "imageThreads", 1, kMostThreads));
    return Napi::Number::New(env, image_threads());
  });
}

}  // namespace

void init_images(Napi::Env env, Napi::Object exports) {
  ImageRoom* room = open_image_room(env);
  exports.Set("jpegSquare", Napi::Function::New(env, jpeg_square, "jpegSquare", room));
  exports.Set("pixelsSquare", Napi::Function::New(env, pixels_square, "pixelsSquare", room));
  exports.Set("imageFloats", Napi::Function::New(env, image_floats, "imageFloats", room));
  exports.Set("hasJpeg", Napi::Function::New(env, has_jpeg));
  exports.Set("jpegLibrary", Napi::Function::New(env, jpeg_library));
  exports.Set("imageThreads", Napi::Function::New(env, threads));
}

}  // namespace mamba_prune
