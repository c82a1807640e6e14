// Kernels that sum over rows, chunk by chunk, on the CPU. How rows are cut into chunks follows from the shape alone, so
// that the sums are the same for any number of threads.
#pragma once
#include <ATen/Parallel.h>

#include <algorithm>

namespace mamba_prune {

// Rows of a chunk of at least 16384 elements, at most 64 of which there are.
inline int64_t rows_per_chunk(int64_t rows, int64_t columns) {
  const int64_t least = (16384 + columns - 1) / std::max<int64_t>(1, columns);
  return std::max<int64_t>({1, least, (rows + 63) / 64});
}

template <class Args> int64_t chunks_of(const Args& a) { return (a.rows + a.rows_per_chunk - 1) / a.rows_per_chunk; }

// Calls kernel(a, begin, end) for all chunks, in parallel.
template <class Args, class Kernel> void run_chunks(const Args& a, const Kernel& kernel) {
  at::parallel_for(0, chunks_of(a), 1, [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
}

}  // namespace mamba_prune
