// What JavaScript asks of a GPU: graphs, its memory, and where the sources of our kernels are.
#ifdef MAMBA_PRUNE_CUDA
#include "../cuda/graph.h"
#include "../cuda/kernel.h"
#include "addon.h"

namespace mamba_prune {

namespace {

uint32_t graph_of(const Napi::Value& id) {
  // 0 is no graph's number.
  return id.IsNumber() ? id.As<Napi::Number>().Uint32Value() : 0;
}

c10::Device cuda_device_of(const Napi::Value& value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "expected the name of a device, such as cuda:0");
  const c10::Device device(value.As<Napi::String>().Utf8Value());
  TORCH_CHECK(device.is_cuda(), "got the device ", device, ", expected a GPU");
  return device;
}

// graphCapture(device, work) -> id
Napi::Value graph_capture(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "CUDA graph", [&]() -> Napi::Value {
    if (!info[1].IsFunction()) throw Napi::TypeError::New(env, "expected a device and a function");
    const auto work = info[1].As<Napi::Function>();
    return Napi::Number::New(env, cuda::capture_graph(cuda_device_of(info[0]), [&] { work.Call({}); }));
  });
}

void graph_replay(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "CUDA graph", [&] { cuda::replay_graph(graph_of(info[0])); });
}

void graph_dispose(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "CUDA graph", [&] { cuda::dispose_graph(graph_of(info[0])); });
}

// setKernelFolder(path)
void set_kernel_folder(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "kernels", [&] { cuda::set_kernel_folder(info[0].As<Napi::String>().Utf8Value()); });
}

// cudaMemory(device) -> [bytes in tensors, bytes that the allocator holds, bytes free, bytes in all]
Napi::Value cuda_memory(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "cudaMemory", [&]() -> Napi::Value {
    const cuda::MemoryUse use = cuda::memory_use(cuda_device_of(info[0]));
    auto result = Napi::Array::New(env, 4);
    uint32_t i = 0;
    for (const size_t bytes : {use.in_tensors, use.held, use.free, use.total}) result[i++] = static_cast<double>(bytes);
    return result;
  });
}

void empty_cuda_cache(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "emptyCudaCache", [&] { cuda::empty_cache(cuda_device_of(info[0])); });
}

}  // namespace

void init_cuda(Napi::Env env, Napi::Object exports) {
  exports["graphCapture"] = Napi::Function::New(env, graph_capture, "graphCapture");
  exports["graphReplay"] = Napi::Function::New(env, graph_replay, "graphReplay");
  exports["graphDispose"] = Napi::Function::New(env, graph_dispose, "graphDispose");
  exports["cudaMemory"] = Napi::Function::New(env, cuda_memory, "cudaMemory");
  exports["emptyCudaCache"] = Napi::Function::New(env, empty_cuda_cache, "emptyCudaCache");
  exports["setKernelFolder"] = Napi::Function::New(env, set_kernel_folder, "setKernelFolder");
}

}  // namespace mamba_prune
#endif
