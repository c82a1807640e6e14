// Kernels compiled at run time: the sources in native/cuda/kernels, by NVRTC, at first use, kept on disk.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mamba_prune::cuda {

/** Become `#define NAME VALUE` lines before the source. */
using Defines = std::vector<std::pair<std::string, int64_t>>;

struct Grid {
  unsigned x, y = 1, z = 1;
};

/** A function on the device that was current when it was found. */
class Kernel {
 public:
  explicit Kernel(void* function) : function_(function) {}
  /**
   * Runs it on the current stream. The arguments must have exactly the types of the kernel's parameters, which are
   * given copies of them.
   * @param shared_bytes dynamic shared memory of a block
   */
  template <class... Args> void launch(Grid grid, unsigned threads, unsigned shared_bytes, const Args&... args) const {
    void* pointers[] = {const_cast<void*>(static_cast<const void*>(&args))...};
    launch_with(grid, threads, shared_bytes, pointers);
  }

  /**
   * How many clusters of so many blocks run at a time, 0 where none does; to be asked before such a kernel is launched,
   * which is then allowed more than the 8 blocks that any GPU with clusters takes.
   */
  int active_clusters(unsigned blocks, unsigned threads, unsigned shared_bytes) const;

 private:
  void ask_for_shared(unsigned bytes) const;
  void launch_with(Grid grid, unsigned threads, unsigned shared_bytes, void** arguments) const;
  void* function_;
};

/**
 * A kernel for the current device.
 * @param file name inside native/cuda/kernels; common.cuh is put before it, and headers that both include are found
 * there
 * @throws c10::Error if it does not compile
 */
const Kernel& find_kernel(const char* file, const char* function, const Defines& defines);

/** Where the sources are; set once, before the first kernel is asked for. */
void set_kernel_folder(std::string folder);

}  // namespace mamba_prune::cuda
