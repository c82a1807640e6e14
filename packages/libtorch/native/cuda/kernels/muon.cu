// A step of Muon for many small matrices in one launch: the average of the gradients, five steps of the iteration that
// makes the singular values equal, and the step of the parameters (optim/muon.ts says what is computed). A block has a
// matrix in its shared memory, lying on its long side: x of `height` rows in bfloat16, and beside it the square x x^T,
// in the place of which the polynomial of it lies later. All is rounded where libtorch's operators would round it.
//
// Products are of 16 warps, four each way; a warp has every fourth tile of 16 rows and of 16 columns (PTX ISA, ldmatrix
// and mma.m16n8k16).
//
// Defined by the caller: SCALAR, which is bfloat16.
#include "muon_interface.h"
#include "pairs.cuh"

using namespace mamba_prune::cuda::muon_kernel;

static_assert(kThreads == 16 * 32, "four warps each way");

constexpr int kParts = 4;  // tiles of a way are shared by so many warps
typedef float Sums[kWarpTiles][kWarpTiles][8];

__device__ __forceinline__ u32 address_of(const void* shared) { return (u32)__cvta_generic_to_shared(shared); }
// Four matrices of 8 x 8; a lane gives the address of one row.
template <bool Transposed> __device__ __forceinline__ void load_tile(u32 (&to)[4], u32 row) {
  if (Transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
}
// sum [16, 8] += left [16, 16] right [16, 8].
__device__ __forceinline__ void multiply(float* sum, const u32 (&left)[4], u32 right0, u32 right1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
}

// Where a matrix lies in shared memory, and how many elements from a row to the next.
struct Place {
  u16* at;
  int row;
};
// Of a warp: its first tiles of the rows and of the columns, of so many.
struct Share {
  int row, column, rows, columns;
};

// sum = left right over `depth`; of right^T, which has the columns as rows, with Transposed false.
template <bool Transposed> __device__ __forceinline__ void product(Sums& sum, const Place& left, const Place& right,
                                                                   int depth, const Share& share) {
#pragma unroll
  for (int a = 0; a < kWarpTiles; a++)
#pragma unroll
    for (int b = 0; b < kWarpTiles; b++)
#pragma unroll
      for (int i = 0; i < 8; i++) sum[a][b][i] = 0.0f;
  const int lane = threadIdx.x & 31, eighth = lane / 8, within = lane % 8;
  const u32 left_at = address_of(left.at + (share.row * kTile + within + eighth % 2 * 8) * left.row + eighth / 2 * 8);
  // Of a tile of the right factor the two halves of the depth come first, of its first eight columns.
  const u32 right_at =
      address_of(Transposed ? right.at + (within + eighth % 2 * 8) * right.row + share.column * kTile + eighth / 2 * 8
                            : right.at + (share.column * kTile + within + eighth / 2 * 8) * right.row + eighth % 2 * 8);
  const u32 left_tile = kParts * kTile * left.row * 2;
  const u32 right_tile = Transposed ? kParts * kTile * 2 : kParts * kTile * right.row * 2;
  const u32 right_depth = Transposed ? right.row * 2 : 2;
  for (int k = 0; k < depth; k += kTile) {
    u32 of_right[kWarpTiles][4];
#pragma unroll
    for (int b = 0; b < kWarpTiles; b++)
      if (share.column + kParts * b < share.columns)
        load_tile<Transposed>(of_right[b], right_at + b * right_tile + k * right_depth);
#pragma unroll
    for (int a = 0; a < kWarpTiles; a++) {
      if (share.row + kParts * a >= share.rows) break;
      u32 of_left[4];
      load_tile<false>(of_left, left_at + a * left_tile + k * 2);
#pragma unroll
      for (int b = 0; b < kWarpTiles; b++)
        if (share.column + kParts * b < share.columns) {
          multiply(sum[a][b], of_left, of_right[b][0], of_right[b][1]);
          multiply(sum[a][b] + 4, of_left, of_right[b][2], of_right[b][3]);
        }
    }
  }
}
// to = sum + factor * other, element by element; `other` may be `to`, of which a thread reads what it writes.
__device__ __forceinline__ void write_sums(const Sums& sum, float of_sum, const Place& other, float of_other,
                                           const Place& to, const Share& share) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int a = 0; a < kWarpTiles; a++)
#pragma unroll
    for (int b = 0; b < kWarpTiles; b++) {
      if (share.row + kParts * a >= share.rows || share.column + kParts * b >= share.columns) continue;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int row = (share.row + kParts * a) * kTile + lane / 4 + i % 2 * 8;
        const int column = (share.column + kParts * b) * kTile + i / 2 * 8 + lane % 4 * 2;
        float first = of_sum * sum[a][b][2 * i], second = of_sum * sum[a][b][2 * i + 1];
        if (of_other != 0.0f) {
          const u32 there = *reinterpret_cast<const u32*>(other.at + row * other.row + column);
          first += of_other * low_of(there), second += of_other * high_of(there);
        }
        *reinterpret_cast<u32*>(to.at + row * to.row + column) = pair(first, second);
      }
    }
}

constexpr int kAhead = 4;  // numbers of a thread that are on their way

extern "C" __global__ void __launch_bounds__(kThreads, 1) muon(const __grid_constant__ MuonArgs a) {
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ float sums[kThreads / 32];
  if (a.skip && *a.skip != 0.0f) return;
  const Matrix& m = a.of[blockIdx.x];
  const bool upright = m.rows > m.columns;
  const int height = padded(min(m.rows, m.columns)), width = padded(max(m.rows, m.columns)), count = m.rows * m.columns;
  const Place x{reinterpret_cast<u16*>(memory), width + kGap};
  const Place square{x.at + height * x.row, height + kGap};
  for (int i = threadIdx.x; i < height * x.row / 8; i += kThreads)
    reinterpret_cast<uint4*>(x.at)[i] = uint4{0, 0, 0, 0};
  __syncthreads();
  const auto place = [&](int i) -> u16& {
    const int row = i / m.columns, column = i - row * m.columns;
    return x.at[upright ? column * x.row + row : row * x.row + column];
  };

  // The average of the gradients, and where it goes if this one comes again (Nesterov).
  float squares = 0.0f;
  for (int i0 = threadIdx.x; i0 < count; i0 += kAhead * kThreads) {
    float grad[kAhead], average[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; j++) {
      const int i = min(i0 + j * kThreads, count - 1);
      grad[j] = m.grad[i], average[j] = m.buffer[i];
    }
#pragma unroll
    for (int j = 0; j < kAhead; j++) {
      const int i = i0 + j * kThreads;
      if (i >= count) break;
      average[j] = __fmaf_rn(a.rest, grad[j], __fmul_rn(average[j], a.momentum));
      const float ahead = __fmaf_rn(a.momentum, average[j], __fmul_rn(grad[j], a.rest));
      m.buffer[i] = average[j];
      squares += ahead * ahead;
      place(i) = down(ahead).bits;
    }
  }
  squares = warp_sum(squares);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = squares;
  __syncthreads();
  float total = 0.0f;
#pragma unroll
  for (int w = 0; w < kThreads / 32; w++) total += sums[w];
  // NaN stays one.
  const float root = sqrtf(total), norm = up(down(root < a.least ? a.least : root));
  for (int i = threadIdx.x; i < height * x.row / 2; i += kThreads) {
    u32& two = reinterpret_cast<u32*>(x.at)[i];
    two = pair(__fdiv_rn(low_of(two), norm), __fdiv_rn(high_of(two), norm));
  }
  __syncthreads();

  const int warp = threadIdx.x / 32;
  const Share whole{warp % kParts, warp / kParts, height / kTile, height / kTile};
  Sums sum;
  for (int step = 0; step < a.steps; step++) {
    product<false>(sum, x, x, width, whole);
    write_sums(sum, 1.0f, square, 0.0f, square, whole);
    __syncthreads();
    // The square is its own transpose.
    product<false>(sum, square, square, height, whole);
    __syncthreads();
    write_sums(sum, a.fifth, square, a.cubic, square, whole);
    __syncthreads();
    // Columns of the result hang on the same ones of x alone.
    for (int first = 0; first < width; first += kMost) {
      const Place columns{x.at + first, x.row};
      const Share share{whole.row, whole.column, whole.rows, min(kMost, width - first) / kTile};
      product<true>(sum, square, columns, height, share);
      __syncthreads();
      write_sums(sum, 1.0f, columns, a.linear, columns, share);
    }
    __syncthreads();
  }

  const float rate = *a.rate, kept = __fadd_rn(__fmul_rn(rate, -a.decay), 1.0f);
  for (int i0 = threadIdx.x; i0 < count; i0 += kAhead * kThreads) {
    float param[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; j++) param[j] = m.param[min(i0 + j * kThreads, count - 1)];
#pragma unroll
    for (int j = 0; j < kAhead; j++) {
      const int i = i0 + j * kThreads;
      if (i >= count) break;
      scalar direction;
      direction.bits = place(i);
      const float change = __fmul_rn(__fmul_rn(up(direction), m.factor), rate);
      m.param[i] = __fadd_rn(__fmul_rn(param[j], kept), change);
    }
  }
}
