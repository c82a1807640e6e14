// libtorch's errors in words for people who use it.
#include "addon.h"

namespace mamba_prune {

std::string message_of(const c10::Error& error) {
  std::string message = error.what_without_backtrace();
  // The first of the lines that follow what happened differs between versions and builds.
  for (const char* advice : {"\nSearch for `cuda", "\nCUDA kernel errors might be", "\nFor debugging consider passing",
                             "\nCompile with `TORCH_USE_CUDA_DSA"}) {
    const size_t at = message.find(advice);
    if (at != std::string::npos) message.resize(at);
  }
  return message;
}

}  // namespace mamba_prune
