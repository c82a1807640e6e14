// The process as a whole: threads, versions, devices, and how the C library hands out memory.
#include "addon.h"
#include "handles.h"
#include "kernels/kernel_table.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/csrc/api/include/torch/version.h>

#include <limits>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace mamba_prune {

namespace {

Napi::Value num_threads(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "numThreads", [&]() -> Napi::Value {
    if (!info[0].IsUndefined()) {
      const double wanted = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : 0;
      if (!(wanted >= 1 && wanted <= 1024)) {
        throw Napi::RangeError::New(env,
                                    "numThreads: got " + describe(info[0]) + ", expected an integer from 1 to 1024");
      }
      at::set_num_threads(static_cast<int>(wanted));
      shield_team();
    }
    return Napi::Number::New(env, at::get_num_threads());
  });
}

Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), TORCH_VERSION); }

Napi::Value config(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "config",
                 [&] { return Napi::String::New(info.Env(), at::show_config() + at::get_parallel_info()); });
}

Napi::Value cuda_device_count(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "cudaDeviceCount", [&] {
    const bool present = at::globalContext().hasCUDA();
    return Napi::Number::New(info.Env(), present ? static_cast<double>(at::detail::getCUDAHooks().getNumGPUs()) : 0);
  });
}

Napi::Value instruction_set(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "instructionSet", [&] { return Napi::String::New(info.Env(), isa().name); });
}

void synchronize(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "synchronize", [&] {
    if (!info[0].IsString()) return;
    const c10::Device device(info[0].As<Napi::String>().Utf8Value());
    if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device.has_index() ? device.index() : 0);
  });
}

// libtorch asks the device for its compute capability there; 8.0 is the first with bfloat16.
Napi::Value cuda_has_bfloat16(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), "cudaHasBfloat16", [&] {
    const bool present = at::globalContext().hasCUDA();
    return Napi::Boolean::New(info.Env(),
                              present && at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8());
  });
}

// Bytes that malloc has handed out and not got back, in all threads: tensors of the CPU, what C++ keeps of them and of
// graphs, and what Node.js itself has outside of its heap. Not the resident memory, which also holds what was freed.
Napi::Value malloc_bytes(const Napi::CallbackInfo& info) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 all = mallinfo2();
  return Napi::Number::New(info.Env(), static_cast<double>(all.uordblks) + static_cast<double>(all.hblkhd));
#else
  return info.Env().Null();
#endif
}

void allow_tf32(bool on) {
  at::globalContext().setAllowTF32CuDNN(on);
  at::globalContext().setAllowTF32CuBLAS(on);
}

void set_allow_tf32(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "setAllowTf32", [&] { allow_tf32(info[0].IsBoolean() && info[0].As<Napi::Boolean>().Value()); });
}

void set_flush_denormal(const Napi::CallbackInfo& info) {
  at::globalContext().setFlushDenormal(info[0].IsBoolean() && info[0].As<Napi::Boolean>().Value());
}

}  // namespace

void init_runtime(Napi::Env env, Napi::Object exports) {
#ifdef __GLIBC__
  // Activations of a training step are megabytes each and die within it. By default glibc maps each
  // one anew and gives it back, and every first touch of a page is a fault: half of the time of a
  // matrix product of this size. Without mappings freed memory stays in the heap, and the second
  // step reuses the first one's pages. (M_MMAP_THRESHOLD is no way: glibc refuses more than 32 MiB.)
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
#endif
  // libtorch's default is to compute convolutions in TF32 and matrix products not.
  allow_tf32(false);
  exports["numThreads"] = Napi::Function::New(env, num_threads, "numThreads");
  exports["version"] = Napi::Function::New(env, version, "version");
  exports["config"] = Napi::Function::New(env, config, "config");
  exports["cudaDeviceCount"] = Napi::Function::New(env, cuda_device_count, "cudaDeviceCount");
  exports["synchronize"] = Napi::Function::New(env, synchronize, "synchronize");
  exports["cudaHasBfloat16"] = Napi::Function::New(env, cuda_has_bfloat16, "cudaHasBfloat16");
  exports["instructionSet"] = Napi::Function::New(env, instruction_set, "instructionSet");
  exports["setAllowTf32"] = Napi::Function::New(env, set_allow_tf32, "setAllowTf32");
  exports["mallocBytes"] = Napi::Function::New(env, malloc_bytes, "mallocBytes");
  exports["setFlushDenormal"] = Napi::Function::New(env, set_flush_denormal, "setFlushDenormal");
}

}  // namespace mamba_prune
