#include "bindings/image_floats.h"

#include "bindings/arguments.h"

#include <memory>

namespace mamba_prune {

namespace {

constexpr int kByteValues = 256;  // of a byte
constexpr int kMostRow = 1 << 24;

// Some images of a batch. What a byte becomes is looked up: whoever made the table decides on the bits.
class FloatsTask : public ImageTask {
 public:
  const uint8_t* pixels;   // [images, channels, height, width]
  const uint8_t* flipped;  // [images]
  const float* tables;     // [channels, 256]
  float* out;              // as `pixels`
  int64_t images, channels, height, width;

  void run() override {
    const uint8_t* from = pixels;
    float* to = out;
    for (int64_t i = 0; i < images; i++) {
      for (int64_t row = 0; row < channels * height; row++, from += width, to += width) {
        const float* table = tables + row / height * kByteValues;
        if (flipped[i]) mirrored(from, table, to);
        else straight(from, table, to);
      }
    }
  }
  Napi::Value result(Napi::Env env) const override { return env.Undefined(); }

 private:
  void straight(const uint8_t* from, const float* table, float* to) const {
    for (int64_t x = 0; x < width; x++) to[x] = table[from[x]];
  }
  void mirrored(const uint8_t* from, const float* table, float* to) const {
    for (int64_t x = 0; x < width; x++) to[x] = table[from[width - 1 - x]];
  }
};

template <class Array> Array array_argument(Napi::Env env, Napi::Value value, napi_typedarray_type type,
                                            const char* what, const char* expected) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type) return value.As<Array>();
  throw Napi::TypeError::New(
      env, std::string("imageFloats: ") + what + ": got " + describe(value) + ", expected a " + expected);
}

}  // namespace

Napi::Value image_floats(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, "imageFloats", [&]() -> Napi::Value {
    const auto bytes = [&](size_t at, const char* what) {
      return array_argument<Napi::Uint8Array>(env, info[at], napi_uint8_array, what, "Uint8Array");
    };
    const auto floats = [&](size_t at, const char* what) {
      return array_argument<Napi::Float32Array>(env, info[at], napi_float32_array, what, "Float32Array");
    };
    Napi::Uint8Array pixels = bytes(0, "pixels"), flipped = bytes(3, "flipped");
    Napi::Float32Array out = floats(1, "out"), tables = floats(2, "tables");
    auto task = std::make_unique<FloatsTask>();
    task->channels = whole(env, info[4], "channels", 1, 4);
    task->height = whole(env, info[5], "height", 1, kMostRow);
    task->width = whole(env, info[6], "width", 1, kMostRow);
    const int64_t all = static_cast<int64_t>(flipped.ElementLength());
    const int64_t first = whole(env, info[7], "first image", int64_t{0}, all);
    task->images = whole(env, info[8], "images", int64_t{0}, all - first);
    const int64_t values = task->channels * task->height * task->width;
    const auto has = [](const Napi::TypedArray& array, int64_t count) {
      return array.ElementLength() == static_cast<size_t>(count);
    };
    if (!has(pixels, all * values) || !has(out, all * values) || !has(tables, task->channels * kByteValues)) {
      throw Napi::RangeError::New(env, "imageFloats: got " + std::to_string(pixels.ElementLength()) + " bytes, " +
                                           std::to_string(out.ElementLength()) + " numbers and tables of " +
                                           std::to_string(tables.ElementLength()) + ", expected " +
                                           std::to_string(all * values) + " twice and " +
                                           std::to_string(task->channels * kByteValues));
    }
    task->pixels = pixels.Data() + first * values, task->flipped = flipped.Data() + first;
    task->tables = tables.Data(), task->out = out.Data() + first * values;
    // Before the pictures that wait: they belong to later batches, whose turn has not come.
    return queue_image_task(env, static_cast<ImageRoom*>(info.Data()), std::move(task), {pixels, out, tables, flipped},
                            Turn::first);
  });
}

}  // namespace mamba_prune
