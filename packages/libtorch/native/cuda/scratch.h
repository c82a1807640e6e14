// Scratch: ways switched off by MAMBA_PRUNE_OFF or on by MAMBA_PRUNE_ON, lists of names, to compare them within one
// build.
#pragma once
#include <cstdlib>
#include <cstring>

namespace mamba_prune::cuda {
inline bool on(const char* name) {
  const char* all = std::getenv("MAMBA_PRUNE_ON");
  return all && std::strstr(all, name);
}
inline bool off(const char* name) {
  const char* all = std::getenv("MAMBA_PRUNE_OFF");
  return all && std::strstr(all, name);
}
}  // namespace mamba_prune::cuda
