// Copies of many matrices in another type, with gaps between their rows, in one launch.
//
// Defined by the caller: SCALAR, the type of the copies.
#include "copy_parts_interface.h"
#include "items.cuh"

using namespace mamba_prune::cuda::copy_parts_kernel;

extern "C" __global__ void __launch_bounds__(kThreads) copy_parts(const __grid_constant__ PartsArgs<scalar> a) {
  const Part<scalar>& p = item_of(a);
  const int first = (blockIdx.x - p.first_block) * kPerBlock, end = min(first + kPerBlock, p.rows * p.columns);
  // All are asked for before the first is written, because no load overtakes a store that might be to the same place.
  constexpr int kOwn = kPerBlock / kThreads;
  float values[kOwn];
#pragma unroll
  for (int j = 0; j < kOwn; j++) {
    const int i = min(first + j * kThreads + (int)threadIdx.x, end - 1), row = i / p.columns;
    values[j] = p.from[(i64)row * p.from_row + i - row * p.columns];
  }
#pragma unroll
  for (int j = 0; j < kOwn; j++) {
    const int i = first + j * kThreads + threadIdx.x, row = i / p.columns;
    if (i < end) p.to[(i64)row * p.to_row + i - row * p.columns] = down(values[j]);
  }
}
