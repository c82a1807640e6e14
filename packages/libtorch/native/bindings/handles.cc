#include "handles.h"

#include <c10/core/CPUAllocator.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace mamba_prune {

namespace {

// V8 is told of native memory in steps of this size: the call is not free, and the collector only
// needs the order of magnitude.
constexpr int64_t kReportStep = 4 << 20;

// The collector runs when this number has grown by some 64 MB since its last run. A training step takes and frees more
// than that each time, and would set off a whole collection each time that finds nothing. So V8 is told the most that
// was owned lately: it hears of more, which is what tensors that nobody frees lead to, and of a fall to a sixteenth.
// What a collection has freed leaves that number too, or else each collection would wait for more garbage than the
// last.
constexpr int64_t kFall = 16;

void report(Napi::Env env, Instance& instance) {
  const bool fell = instance.owned_bytes < instance.peak_bytes / kFall;
  if (fell || instance.owned_bytes > instance.peak_bytes) instance.peak_bytes = instance.owned_bytes;
  const int64_t change = instance.peak_bytes - instance.reported_bytes;
  if (std::abs(change) < kReportStep) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, change);
  instance.reported_bytes = instance.peak_bytes;
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Instance& instance = Instance::of(env);
  if (!info[0].IsNumber()) return Napi::Boolean::New(env, false);
  const double handle = info[0].As<Napi::Number>().DoubleValue();
  OwnedTensor* owned = instance.tensors.find(handle);
  if (!owned) {
    return Napi::Boolean::New(env, instance.generators.remove(handle));
  }
  instance.owned_bytes -= owned->bytes;
  const bool collected = info[1].IsBoolean() && info[1].As<Napi::Boolean>().Value();
  if (collected) instance.peak_bytes -= owned->bytes;
  instance.tensors.remove(handle);
  report(env, instance);
  return Napi::Boolean::New(env, true);
}

Napi::Value stats(const Napi::CallbackInfo& info) {
  Instance& instance = Instance::of(info.Env());
  Napi::Object result = Napi::Object::New(info.Env());
  result["tensors"] = Napi::Number::New(info.Env(), static_cast<double>(instance.tensors.live()));
  result["bytes"] = Napi::Number::New(info.Env(), static_cast<double>(instance.owned_bytes));
  return result;
}

template <typename Fn> Napi::Function function(Napi::Env env, Fn fn, const char* name) {
  return Napi::Function::New(env, fn, name);
}

Napi::Value sizes(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = tensor_of(info.Env(), info[0], "sizes");
  Napi::Array result = Napi::Array::New(info.Env(), tensor.dim());
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    result[static_cast<uint32_t>(i)] = Napi::Number::New(info.Env(), static_cast<double>(tensor.size(i)));
  }
  return result;
}

Napi::Value strides(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = tensor_of(info.Env(), info[0], "strides");
  Napi::Array result = Napi::Array::New(info.Env(), tensor.dim());
  for (int64_t i = 0; i < tensor.dim(); ++i) {
    result[static_cast<uint32_t>(i)] = Napi::Number::New(info.Env(), static_cast<double>(tensor.stride(i)));
  }
  return result;
}

Napi::Value dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), dtype_name(tensor_of(info.Env(), info[0], "dtype").scalar_type()));
}

Napi::Value device(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), tensor_of(info.Env(), info[0], "device").device().str());
}

Napi::Value requires_grad(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), tensor_of(info.Env(), info[0], "requiresGrad").requires_grad());
}

Napi::Value is_leaf(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), tensor_of(info.Env(), info[0], "isLeaf").is_leaf());
}

Napi::Value is_contiguous(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), tensor_of(info.Env(), info[0], "isContiguous").is_contiguous());
}

// Whether nobody else has the tensor or its memory, and it is nothing but values: a view has the memory, and an
// operation that was recorded has the tensor.
bool is_sole(const at::Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.has_storage() && tensor.storage().use_count() == 1 &&
         tensor.is_contiguous() && !tensor.is_inference() && tensor.is_leaf() && !tensor.grad().defined();
}

// Gives the pages of memory that is about to be freed back to the system. The C library would keep them (runtime.cc),
// and hardly reuses the place of a tensor for another of its size: it looks for more room than that, to align it in.
void give_back_pages(const at::Tensor& tensor) {
#ifdef __linux__
  // Memory that somebody lent us is not ours to empty.
  if (!tensor.is_cpu() || tensor.storage().allocator() != c10::GetDefaultCPUAllocator()) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<uintptr_t>(tensor.storage().data()), last = first + tensor.storage().nbytes();
  const uintptr_t begin = (first + page - 1) / page * page, end = last / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
#endif
}

// lend(handle) -> whether the tensor was freed, which it is only if it is nobody else's.
Napi::Value lend(const Napi::CallbackInfo& info) {
  const at::Tensor& tensor = tensor_of(info.Env(), info[0], "lend");
  if (!is_sole(tensor)) return Napi::Boolean::New(info.Env(), false);
  give_back_pages(tensor);
  return dispose(info);
}

}  // namespace

Instance& Instance::of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }

Napi::Value wrap(Napi::Env env, at::Tensor tensor) {
  if (!tensor.defined()) return env.Null();
  Instance& instance = Instance::of(env);
  OwnedTensor owned;
  // A view shares its storage with a tensor that was counted already.
  if (tensor.has_storage() && tensor.storage().use_count() == 1) {
    owned.bytes = static_cast<int64_t>(tensor.storage().nbytes());
  }
  owned.tensor = std::move(tensor);
  instance.owned_bytes += owned.bytes;
  const double handle = instance.tensors.insert(std::move(owned));
  report(env, instance);
  return Napi::Number::New(env, handle);
}

std::string describe(Napi::Value value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    Instance& instance = Instance::of(value.Env());
    if (OwnedTensor* owned = instance.tensors.find(number)) return "tensor " + describe(owned->tensor);
    if (instance.generators.find(number)) return "a generator";
    if (instance.tensors.could_be(number) || instance.generators.could_be(number)) {
      return "a disposed tensor or generator";
    }
    return "number " + value.ToString().Utf8Value();
  }
  if (value.IsString()) return "string '" + value.As<Napi::String>().Utf8Value().substr(0, 60) + "'";
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsBigInt()) return "a bigint";
  if (value.IsArray()) {
    return "an array of " + std::to_string(value.As<Napi::Array>().Length()) + " elements";
  }
  if (value.IsFunction()) return "a function";
  if (value.IsSymbol()) return "a symbol";
  return "an object";
}

at::Tensor& tensor_of(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsNumber()) {
    OwnedTensor* owned = Instance::of(env).tensors.find(value.As<Napi::Number>().DoubleValue());
    if (owned) return owned->tensor;
  }
  throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a live tensor");
}

at::Generator& generator_of(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsNumber()) {
    at::Generator* generator = Instance::of(env).generators.find(value.As<Napi::Number>().DoubleValue());
    if (generator) return *generator;
  }
  throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a live generator");
}

void init_tensor(Napi::Env env, Napi::Object exports) {
  exports["dispose"] = function(env, dispose, "dispose");
  exports["stats"] = function(env, stats, "stats");
  exports["sizes"] = function(env, sizes, "sizes");
  exports["strides"] = function(env, strides, "strides");
  exports["dtype"] = function(env, dtype, "dtype");
  exports["device"] = function(env, device, "device");
  exports["requiresGrad"] = function(env, requires_grad, "requiresGrad");
  exports["isLeaf"] = function(env, is_leaf, "isLeaf");
  exports["isContiguous"] = function(env, is_contiguous, "isContiguous");
  exports["lend"] = function(env, lend, "lend");
}

}  // namespace mamba_prune
