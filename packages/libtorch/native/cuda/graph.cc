#include "graph.h"

#include <ATen/Context.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <map>
#include <memory>

namespace mamba_prune::cuda {

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

}  // namespace

uint32_t capture_graph(c10::Device device, const std::function<void()>& work) {
  const c10::cuda::CUDAGuard on(device);
  Captured captured{std::make_unique<at::cuda::CUDAGraph>(), c10::cuda::current_device()};
  c10::cuda::device_synchronize();
  // The graph's memory is its own: what the steps before it used goes back first, or large batches would need it twice.
  c10::cuda::CUDACachingAllocator::emptyCache();
  {
    const c10::cuda::CUDAStreamGuard stream(c10::cuda::getStreamFromPool(true));
    // What other threads ask of the GPU meanwhile, such as that of NCCL's watchdog, does not end the capture.
    captured.graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      work();
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
  return id;
}

void replay_graph(uint32_t graph) {
  const auto found = graphs().find(graph);
  TORCH_CHECK(found != graphs().end(), "got a graph that was disposed of or never captured");
  const c10::cuda::CUDAGuard on(found->second.device);
  found->second.graph->replay();
}

void dispose_graph(uint32_t graph) { graphs().erase(graph); }

MemoryUse memory_use(c10::Device device) {
  at::globalContext().lazyInitDevice(at::kCUDA);  // the allocator knows of no device before
  const c10::cuda::CUDAGuard on(device);
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device());
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return {static_cast<size_t>(stats.allocated_bytes[0].current), static_cast<size_t>(stats.reserved_bytes[0].current),
          free, total};
}

void empty_cache(c10::Device device) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  const c10::cuda::CUDAGuard on(device);
  c10::cuda::device_synchronize();
  c10::cuda::CUDACachingAllocator::emptyCache();
}

}  // namespace mamba_prune::cuda
