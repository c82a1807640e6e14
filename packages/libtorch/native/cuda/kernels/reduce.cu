// The last step of sums that blocks began, in a fixed order, so that they are the same at every run.

// out[i] = sum over rows of partial[row][i]. A block takes 32 columns, its 32 warps every 32nd row.
extern "C" __global__ void __launch_bounds__(1024) reduce_rows(const float* partial, float* out, int rows, int columns) {
  __shared__ float sums[32][33];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, column = blockIdx.x * 32 + lane;
  float sum = 0.0f;
  if (column < columns) {
#pragma unroll 4
    for (int row = warp; row < rows; row += 32) sum += partial[(i64)row * columns + column];
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < columns) {
    float total = 0.0f;
#pragma unroll
    for (int w = 0; w < 32; w++) total += sums[w][lane];
    out[column] = total;
  }
}

// The gradients of B and C, summed over the blocks of channels, as columns [offset, offset + 2 states) of rows of
// `width`; the columns after them are zero. partial: [blocks, rows, 2 padded].
extern "C" __global__ void __launch_bounds__(256) reduce_states(const float* partial, scalar* out, int blocks, int rows, int padded,
                                                                int states, int offset, int width, int row_stride) {
  const int columns = width - offset;
  const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
  if (i >= (i64)rows * columns) return;
  const int row = (int)(i / columns), n = (int)(i % columns);
  float sum = 0.0f;
  if (n < 2 * states) {
    const int from = n < states ? n : padded + n - states;
    for (int b = 0; b < blocks; b++) sum += partial[((i64)b * rows + row) * 2 * padded + from];
  }
  out[(i64)row * row_stride + offset + n] = down(sum);
}
