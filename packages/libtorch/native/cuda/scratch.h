// Scratch: ways switched off by MAMBA_PRUNE_OFF, a list of names, to compare them within one build.
#pragma once
#include <cstdlib>
#include <cstring>

namespace mamba_prune::cuda {
inline bool off(const char* name) {
  const char* all = std::getenv("MAMBA_PRUNE_OFF");
  return all && std::strstr(all, name);
}
}  // namespace mamba_prune::cuda
