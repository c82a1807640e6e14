#include "aside.h"

#include <map>
#include <mutex>

namespace mamba_prune::cuda {

namespace {

thread_local Aside* innermost = nullptr;

// One for each device, so that each has one workspace of cuBLASLt.
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
