// CUDA graphs (work recorded once and replayed with one launch), and the memory of a GPU.
#pragma once
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <functional>

namespace mamba_prune::cuda {

/**
 * Runs work once, recorded and not computed, on a stream of its own. Whatever work throws is passed on, and nothing is
 * recorded then.
 * @return the number of the graph, for `replay_graph` and `dispose_graph`
 */
uint32_t capture_graph(c10::Device device, const std::function<void()>& work);

/** @throws c10::Error for a graph that was disposed of or never captured */
void replay_graph(uint32_t graph);

/** Frees the memory of a graph; does nothing for one that is not there. */
void dispose_graph(uint32_t graph);

/** In bytes. */
struct MemoryUse {
  size_t in_tensors, held;  // held: by libtorch's allocator, in tensors or not
  size_t free, total;       // of the device
};
MemoryUse memory_use(c10::Device device);

/** Gives back what libtorch's allocator holds and no tensor uses. */
void empty_cache(c10::Device device);

}  // namespace mamba_prune::cuda
