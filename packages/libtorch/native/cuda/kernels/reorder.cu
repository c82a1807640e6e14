// Rows of a [batch, length, width] tensor in another order within each sequence: reversed (side 0), or rows and columns of
// a square grid of tokens exchanged. A unit is what one thread moves at once; nothing is computed, so SCALAR does not matter.
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

// units: of a row
extern "C" __global__ void __launch_bounds__(256) reorder_tokens(const unit* from, unit* to, i64 rows, int units, int length, int side) {
  const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
  const i64 row = i / units;
  if (row >= rows) return;
  const int token = (int)(row % length);
  const int source = side == 0 ? length - 1 - token : token % side * side + token / side;
  to[i] = from[i + (i64)(source - token) * units];
}
