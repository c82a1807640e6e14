// A process group is a key-value store that rank 0 hosts, Gloo for tensors on the CPU, NCCL for those on a GPU where
// libtorch has it, and a monitor that knows which worker died.
#pragma once

#define USE_C10D_GLOO
// Set by the build when libtorch has CUDA and the headers of CUDA and NCCL were found.
#ifdef MAMBA_PRUNE_NCCL
#define USE_C10D_NCCL
#endif

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#ifdef MAMBA_PRUNE_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "bindings/monitor.h"
#include "bindings/store.h"

#include <future>
#include <memory>

namespace mamba_prune {

// What runs collectives; libtorch 2 made it a class of its own below ProcessGroup.
#if TORCH_VERSION_MAJOR >= 2
using Collectives = c10d::Backend;
#else
using Collectives = c10d::ProcessGroup;
#endif
using WorkPtr = c10::intrusive_ptr<c10d::Work>;

// Another worker is to blame: becomes a JavaScript error with its rank.
struct WorkerLost : std::runtime_error {
  WorkerLost(int lost, const std::string& reason) : std::runtime_error(reason), rank(lost) {}
  int rank;
};

class Group {
 public:
  int rank = 0;
  int workers = 1;
  std::chrono::milliseconds timeout{0};
  std::unique_ptr<Monitor> monitor;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
#ifdef MAMBA_PRUNE_NCCL
  c10::intrusive_ptr<StoreClient> nccl_store;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl;
  c10::Device gpu = c10::kCUDA;  // of this worker
#endif

  // Joins the others, with a monitor that watches while it does. Throws WorkerLost if one of them is lost meanwhile,
  // and tells the others of any other error.
  void open(const MonitorOptions& at, const c10::Device& device);
  // Sum over all workers, in place. Starts it; the tensor must be kept until `wait` has returned.
  WorkPtr all_reduce(at::Tensor tensor);
  WorkPtr broadcast(at::Tensor tensor, int root);
  // Until the work is done. Throws WorkerLost if another worker is gone, c10::Error after the timeout.
  // While the current stream records a graph, what is recorded waits, and the CPU does not.
  void wait(const WorkPtr& work);
  // Until the device has done all that every worker has given to it so far. All workers call it. Throws as `wait`.
  void settle(const c10::Device& device);
  // In good order; after an error little is waited for, and the connections are left to the process's end.
  void close(bool failed);

 private:
  // Whether the current stream records a graph: what is given to it is not done now.
  bool is_recording() const;
  Collectives& collectives_for(const at::Tensor& tensor);
  // Starts a collective; what NCCL makes for its first ones needs the store.
  template <typename Start> WorkPtr started(Start&& start);
  void open_gloo(const MonitorOptions& at);
  void open_nccl(const MonitorOptions& at, c10::Device device);
  // Asks the monitor who is gone, for as long as it may need to find out, and throws.
  [[noreturn]] void fail(const std::string& what);
  [[noreturn]] void fail_late();
  void check_verdict();
  // There will be no more collectives: ends those that the GPU is in, which would wait for a lost worker for ever.
  void give_up();
  bool failed_ = false;
#ifdef MAMBA_PRUNE_NCCL
  // Runs one of NCCL's ends in a thread of its own, at most once.
  void end_nccl(bool abort);
  std::future<void> nccl_end_;
#endif
};

}  // namespace mamba_prune
