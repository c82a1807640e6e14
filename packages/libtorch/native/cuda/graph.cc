// What JavaScript asks of a GPU: graphs (work recorded once and replayed with one launch) and its memory.
#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <napi.h>

#include <array>
#include <map>
#include <memory>

#include "../bindings/addon.h"
#include "kernel.h"

namespace mamba_prune {

namespace {

struct Captured {
  std::unique_ptr<at::cuda::CUDAGraph> graph;
  c10::DeviceIndex device = 0;
};

// Never destroyed: at the end of the process the driver may be gone before we are.
std::map<uint32_t, Captured>& graphs() {
  static auto* all = new std::map<uint32_t, Captured>();
  return *all;
}

Captured& graph_of(Napi::Env env, Napi::Value id) {
  const auto found = id.IsNumber() ? graphs().find(id.As<Napi::Number>().Uint32Value()) : graphs().end();
  if (found == graphs().end()) throw Napi::Error::New(env, "CUDA graph: got a graph that was disposed of or never captured");
  return found->second;
}

c10::Device device_of(const Napi::Value& value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "expected the name of a device, such as cuda:0");
  const c10::Device device(value.As<Napi::String>().Utf8Value());
  TORCH_CHECK(device.is_cuda(), "got the device ", device, ", expected a GPU");
  return device;
}

// graphCapture(device, work) -> id. Runs work once, recorded and not computed, on a stream of its own.
Napi::Value capture(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "CUDA graph", [&]() -> Napi::Value {
    if (!info[1].IsFunction()) throw Napi::TypeError::New(env, "expected a device and a function");
    const c10::cuda::CUDAGuard on(device_of(info[0]));
    Captured captured{std::make_unique<at::cuda::CUDAGraph>(), c10::cuda::current_device()};
    c10::cuda::device_synchronize();
    // The graph's memory is its own: what the steps before it used goes back first, or large batches would need it twice.
    c10::cuda::CUDACachingAllocator::emptyCache();
    {
      const c10::cuda::CUDAStreamGuard stream(c10::cuda::getStreamFromPool(true));
      // What other threads ask of the GPU meanwhile, such as that of NCCL's watchdog, does not end the capture.
      captured.graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
      try {
        info[1].As<Napi::Function>().Call({});
      } catch (...) {
        // The stream must leave capture mode whatever went wrong; what matters is the first error.
        try {
          captured.graph->capture_end();
        } catch (...) {
        }
        throw;
      }
      captured.graph->capture_end();
    }
    static uint32_t next = 1;
    const uint32_t id = next++;
    graphs().emplace(id, std::move(captured));
    return Napi::Number::New(env, id);
  });
}

void replay(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "CUDA graph", [&] {
    Captured& captured = graph_of(info.Env(), info[0]);
    const c10::cuda::CUDAGuard on(captured.device);
    captured.graph->replay();
  });
}

void dispose(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "CUDA graph", [&] {
    if (info[0].IsNumber()) graphs().erase(info[0].As<Napi::Number>().Uint32Value());
  });
}

// setKernelFolder(path): where the sources of our kernels are.
void set_folder(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "kernels", [&] { cuda::set_kernel_folder(info[0].As<Napi::String>().Utf8Value()); });
}

// cudaMemory(device) -> [bytes in tensors, bytes that the allocator holds, bytes free, bytes in all]
Napi::Value memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "cudaMemory", [&]() -> Napi::Value {
    at::globalContext().lazyInitDevice(at::kCUDA);  // the allocator knows of no device before
    const c10::cuda::CUDAGuard on(device_of(info[0]));
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device());
    size_t free = 0, total = 0;
    C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    const std::array<double, 4> values = {static_cast<double>(stats.allocated_bytes[0].current), static_cast<double>(stats.reserved_bytes[0].current),
                                          static_cast<double>(free), static_cast<double>(total)};
    auto result = Napi::Array::New(env, values.size());
    for (uint32_t i = 0; i < values.size(); i++) result[i] = values[i];
    return result;
  });
}

void empty_cache(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "emptyCudaCache", [&] {
    at::globalContext().lazyInitDevice(at::kCUDA);
    const c10::cuda::CUDAGuard on(device_of(info[0]));
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
  });
}

}  // namespace

void init_cuda(Napi::Env env, Napi::Object exports) {
  exports["graphCapture"] = Napi::Function::New(env, capture, "graphCapture");
  exports["graphReplay"] = Napi::Function::New(env, replay, "graphReplay");
  exports["graphDispose"] = Napi::Function::New(env, dispose, "graphDispose");
  exports["cudaMemory"] = Napi::Function::New(env, memory, "cudaMemory");
  exports["emptyCudaCache"] = Napi::Function::New(env, empty_cache, "emptyCudaCache");
  exports["setKernelFolder"] = Napi::Function::New(env, set_folder, "setKernelFolder");
}

}  // namespace mamba_prune
