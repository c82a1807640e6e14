// Rows of a [batch, length, width] tensor in another order within each sequence: reversed (side 0), or rows and columns
// of a square grid of tokens exchanged. A unit is what one thread moves at once; nothing is computed, so SCALAR does
// not matter.
#include "reorder_interface.h"

using namespace mamba_prune::cuda::reorder_kernel;

#if UNIT == 16
typedef uint4 unit;
#elif UNIT == 8
typedef uint2 unit;
#elif UNIT == 4
typedef u32 unit;
#elif UNIT == 2
typedef u16 unit;
#else
typedef unsigned char unit;
#endif

extern "C" __global__ void __launch_bounds__(kThreads) reorder_tokens(const ReorderArgs<unit> a) {
  const i64 i = (i64)blockIdx.x * kThreads + threadIdx.x;
  const i64 row = i / a.units;
  if (row >= a.rows) return;
  const int token = (int)(row % a.length);
  const int source = a.side == 0 ? a.length - 1 - token : token % a.side * a.side + token / a.side;
  a.to[i] = a.from[i + (i64)(source - token) * a.units];
}
