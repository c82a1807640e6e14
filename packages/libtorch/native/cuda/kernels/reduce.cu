// The last step of sums that blocks began, in a fixed order, so that they are the same at every run.
#include "reduce_interface.h"

using namespace mamba_prune::cuda::reduce_kernel;

// out[i] = sum over rows of partial[row][i]. A block takes 32 columns, its 32 warps every 32nd row.
extern "C" __global__ void __launch_bounds__(kRowsThreads) reduce_rows(const RowsArgs a) {
  __shared__ float sums[32][33];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, column = blockIdx.x * kColumns + lane;
  float sum = 0.0f;
  if (column < a.columns) {
#pragma unroll 16
    for (int row = warp; row < a.rows; row += 32) sum += a.partial[(i64)row * a.columns + column];
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < a.columns) {
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < 32; w++) total += sums[w][lane];
    a.out[column] = total;
  }
}

// The gradients of B and C, summed over the blocks of channels, as columns [offset, offset + 2 states) of rows of
// `width`; the columns after them are zero. partial: [blocks, rows, 2 padded].
extern "C" __global__ void __launch_bounds__(kStatesThreads) reduce_states(const StatesArgs<scalar> a) {
  const int columns = a.width - a.offset;
  const i64 i = (i64)blockIdx.x * kStatesThreads + threadIdx.x;
  if (i >= (i64)a.rows * columns) return;
  const int row = (int)(i / columns), n = (int)(i % columns);
  float sum = 0.0f;
  if (n < 2 * a.states) {
    const int from = n < a.states ? n : a.padded + n - a.states;
#pragma unroll 8
    for (int b = 0; b < a.blocks; b++) sum += a.partial[((i64)b * a.rows + row) * 2 * a.padded + from];
  }
  a.out[(i64)row * a.row_stride + a.offset + n] = down(sum);
}
