// Bytes between JavaScript's typed arrays and tensors.
#include "addon.h"
#include "handles.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

namespace mamba_prune {

namespace {

struct View {
  uint8_t* data;
  size_t bytes;
};

View view_of(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsTypedArray()) {
    Napi::TypedArray array = value.As<Napi::TypedArray>();
    uint8_t* base = static_cast<uint8_t*>(array.ArrayBuffer().Data());
    return {base ? base + array.ByteOffset() : nullptr, array.ByteLength()};
  }
  throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a typed array");
}

std::vector<int64_t> shape_of(Napi::Env env, Napi::Value value, int64_t& count) {
  if (!value.IsArray()) {
    throw Napi::TypeError::New(env, "shape: got " + describe(value) + ", expected an array of sizes");
  }
  Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> shape;
  count = 1;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::Value item = array.Get(i);
    const double size = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    if (!(size >= 0 && size <= 9007199254740991.0 && size == static_cast<double>(static_cast<int64_t>(size)))) {
      throw Napi::RangeError::New(env, "shape: got " + describe(item) + ", expected integers >= 0");
    }
    shape.push_back(static_cast<int64_t>(size));
    if (__builtin_mul_overflow(count, shape.back(), &count)) {
      throw Napi::RangeError::New(env, "shape: the number of elements is over 2^63");
    }
  }
  return shape;
}

void check_bytes(Napi::Env env, const char* what, size_t bytes, int64_t count, at::ScalarType type) {
  const size_t size = c10::elementSize(type);
  if (static_cast<uint64_t>(count) > std::numeric_limits<size_t>::max() / size ||
      bytes != static_cast<size_t>(count) * size) {
    throw Napi::RangeError::New(env, std::string(what) + ": got " + std::to_string(bytes) + " bytes, expected " +
                                         std::to_string(count) + " elements of " + dtype_name(type) + " (" +
                                         std::to_string(size) + " bytes each)");
  }
}

std::string text(Napi::Env env, Napi::Value value, const char* what) {
  if (!value.IsString()) {
    throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a string");
  }
  return value.As<Napi::String>().Utf8Value();
}

// A tensor may outlive the JavaScript call that made it and be freed on another thread, where
// JavaScript's references must not be touched: what it borrowed is released at the next call here.
class Borrowed {
 public:
  void add(Napi::ObjectReference* reference) {
    std::lock_guard<std::mutex> lock(mutex_);
    done_.push_back(reference);
  }
  void release() {
    std::vector<Napi::ObjectReference*> done;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done.swap(done_);
    }
    for (Napi::ObjectReference* reference : done) delete reference;
  }

 private:
  std::mutex mutex_;
  std::vector<Napi::ObjectReference*> done_;
};

// One per thread that runs JavaScript; shared with the deleters, which may come later.
std::shared_ptr<Borrowed> borrowed() {
  thread_local std::shared_ptr<Borrowed> instance = std::make_shared<Borrowed>();
  return instance;
}

// fromBytes(view, dtype, shape) -> handle: copies
Napi::Value from_bytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "fromBytes", [&] {
    borrowed()->release();
    const View view = view_of(env, info[0], "fromBytes");
    const at::ScalarType type = dtype_from_name(text(env, info[1], "dtype"));
    int64_t count = 0;
    const auto shape = shape_of(env, info[2], count);
    check_bytes(env, "fromBytes", view.bytes, count, type);
    at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(type));
    if (view.bytes) std::memcpy(tensor.data_ptr(), view.data, view.bytes);
    return wrap(env, std::move(tensor));
  });
}

// borrowBytes(view, dtype, shape) -> handle: no copy; the array stays alive as long as the tensor's
// storage does, and a write to one is seen by the other.
Napi::Value borrow_bytes(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "borrowBytes", [&] {
    borrowed()->release();
    const View view = view_of(env, info[0], "borrowBytes");
    const at::ScalarType type = dtype_from_name(text(env, info[1], "dtype"));
    int64_t count = 0;
    const auto shape = shape_of(env, info[2], count);
    check_bytes(env, "borrowBytes", view.bytes, count, type);
    if (reinterpret_cast<uintptr_t>(view.data) % c10::elementSize(type) != 0) {
      throw Napi::RangeError::New(env, "borrowBytes: the view is not aligned to its element size; copy it instead");
    }
    auto* reference = new Napi::ObjectReference(Napi::Persistent(info[0].As<Napi::Object>()));
    at::Tensor tensor = at::from_blob(
        view.data, shape, [reference, owner = borrowed()](void*) { owner->add(reference); },
        at::TensorOptions().dtype(type));
    return wrap(env, std::move(tensor));
  });
}

// readInto(handle, view): row-major values
void read_into(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "readInto", [&] {
    const at::Tensor& tensor = tensor_of(env, info[0], "readInto");
    const View view = view_of(env, info[1], "readInto");
    check_bytes(env, "readInto", view.bytes, tensor.numel(), tensor.scalar_type());
    at::NoGradGuard no_grad;
    const at::Tensor source = tensor.detach().to(at::kCPU).contiguous();
    if (view.bytes) std::memcpy(view.data, source.data_ptr(), view.bytes);
  });
}

// writeFrom(handle, view): overwrites the values of a tensor, on any device
void write_from(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "writeFrom", [&] {
    at::Tensor& tensor = tensor_of(env, info[0], "writeFrom");
    const View view = view_of(env, info[1], "writeFrom");
    check_bytes(env, "writeFrom", view.bytes, tensor.numel(), tensor.scalar_type());
    if (!view.bytes) return;
    at::NoGradGuard no_grad;
    tensor.copy_(at::from_blob(view.data, tensor.sizes(), at::TensorOptions().dtype(tensor.scalar_type())));
  });
}

// item(handle) -> number
Napi::Value item(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "item", [&]() -> Napi::Value {
    const at::Tensor& tensor = tensor_of(env, info[0], "item");
    TORCH_CHECK(tensor.numel() == 1, "got ", describe(tensor), ", expected a tensor of one element");
    if (tensor.scalar_type() == at::kBool) return Napi::Number::New(env, tensor.item<bool>() ? 1 : 0);
    return Napi::Number::New(env, tensor.item<double>());
  });
}

}  // namespace

void init_buffers(Napi::Env env, Napi::Object exports) {
  exports["fromBytes"] = Napi::Function::New(env, from_bytes, "fromBytes");
  exports["borrowBytes"] = Napi::Function::New(env, borrow_bytes, "borrowBytes");
  exports["readInto"] = Napi::Function::New(env, read_into, "readInto");
  exports["writeFrom"] = Napi::Function::New(env, write_from, "writeFrom");
  exports["item"] = Napi::Function::New(env, item, "item");
}

}  // namespace mamba_prune
