#include "aside.h"

#include <map>
#include <mutex>

namespace mamba_prune::cuda {

namespace {

thread_local Aside* innermost = nullptr;

// One for each device in the whole process, so that workspaces of cuBLASLt are kept for one. Two threads that train on
// one device share it: results stay right, for events order what each gives it, but the work of one waits for the
// other's. While one of them captures a graph, which draws the stream into the capture, the other must not train: its
// work would become part of that graph, or end the capture. A process that trains from one thread for each device meets
// neither.
c10::cuda::CUDAStream second_stream() {
  static std::mutex mutex;
  static auto* all = new std::map<c10::DeviceIndex, c10::cuda::CUDAStream>();
  const std::lock_guard<std::mutex> lock(mutex);
  const auto device = c10::cuda::current_device();
  const auto found = all->find(device);
  return found != all->end() ? found->second : all->emplace(device, c10::cuda::getStreamFromPool()).first->second;
}

}  // namespace

Aside::Aside() : main_(c10::cuda::getCurrentCUDAStream()), side_(second_stream()), outer_(innermost) {
  innermost = this;
}

Aside::~Aside() {
  innermost = outer_;
  try {
    join();
  } catch (...) {  // an error of the device is reported by whatever uses it next
  }
}

Aside* Aside::current() { return innermost; }

void Aside::join() {
  if (used_) {
    after_.record(side_);
    after_.block(main_);
    used_ = false;
  }
  kept_.clear();
}

}  // namespace mamba_prune::cuda
