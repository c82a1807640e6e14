// How many threads work on one call.
#pragma once
#include <ATen/Parallel.h>

namespace mamba_prune {

// For so many multiply-adds: one thread where a second one costs more than it saves, and inside of another parallel
// region.
inline int team_size(int64_t multiply_adds) {
  constexpr int64_t kSmallWork = 200'000;
  return at::in_parallel_region() || multiply_adds < kSmallWork ? 1 : at::get_num_threads();
}

}  // namespace mamba_prune
