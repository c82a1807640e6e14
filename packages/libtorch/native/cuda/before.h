// TEMPORARY: MAMBA_PRUNE_BEFORE, read at each launch, says which kernels are those of before.
#pragma once
#include <cstdlib>
#include <cstring>

namespace mamba_prune::cuda {
inline bool before(char letter) {
  const char* given = std::getenv("MAMBA_PRUNE_BEFORE_S");
  return given && std::strchr(given, letter);
}
}  // namespace mamba_prune::cuda
