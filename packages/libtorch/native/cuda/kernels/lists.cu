// Whole lists of float32 tensors in a launch or a few: averages of parameters, the squares of gradients, and a factor
// for them. libtorch's foreach operators give a block 65,536 elements, which leaves most of a GPU idle where tensors
// are small, and an average takes three of them.
//
// Defined by the caller: nothing.
#include "items.cuh"
#include "lists_interface.h"

using namespace mamba_prune::cuda::lists_kernel;

// A block's tensor, and its part of it.
struct Part {
  const Item& of;
  int first, end;
  __device__ __forceinline__ explicit Part(const ListArgs& a) : of(item_of(a)) {
    first = (blockIdx.x - of.first_block) * kPerBlock, end = min(first + kPerBlock, of.size);
  }
  __device__ __forceinline__ int place(int j) const { return first + j * kThreads + (int)threadIdx.x; }
  // All of a thread's numbers are asked for before it needs the first; what is not there is the last one once more.
  __device__ __forceinline__ void read(float (&to)[kPerThread], const float* from) const {
#pragma unroll
    for (int j = 0; j < kPerThread; j++) to[j] = from[min(place(j), end - 1)];
  }
};

// to = number * to + (1 - number) * from, rounded as libtorch's operators would.
extern "C" __global__ void __launch_bounds__(kThreads) list_average(const __grid_constant__ ListArgs a) {
  const Part part(a);
  float average[kPerThread], value[kPerThread];
  part.read(average, part.of.to), part.read(value, part.of.from);
  const float decay = *a.number, rest = __fadd_rn(-decay, 1.0f);
#pragma unroll
  for (int j = 0; j < kPerThread; j++)
    if (part.place(j) < part.end)
      part.of.to[part.place(j)] = __fadd_rn(__fmul_rn(decay, average[j]), __fmul_rn(rest, value[j]));
}

// The sum of a block's squares.
extern "C" __global__ void __launch_bounds__(kThreads) list_squares(const __grid_constant__ ListArgs a) {
  __shared__ float sums[kThreads / 32];
  const Part part(a);
  float value[kPerThread], sum = 0.0f;
  part.read(value, part.of.from);
#pragma unroll
  for (int j = 0; j < kPerThread; j++)
    if (part.place(j) < part.end) sum += value[j] * value[j];
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x > 0) return;
  float total = 0.0f;
#pragma unroll
  for (int w = 0; w < kThreads / 32; w++) total += sums[w];
  a.partial[blockIdx.x] = total;
}

// to *= number. Nothing is read where it is 1.
extern "C" __global__ void __launch_bounds__(kThreads) list_scale(const __grid_constant__ ListArgs a) {
  const float factor = *a.number;
  if (factor == 1.0f) return;
  const Part part(a);
  float value[kPerThread];
  part.read(value, part.of.to);
#pragma unroll
  for (int j = 0; j < kPerThread; j++)
    if (part.place(j) < part.end) part.of.to[part.place(j)] = value[j] * factor;
}
