// The forward scan of a branch, for bfloat16 and 16 states:
//   h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,   y_t = (C_t . h_t + D u_t) * silu(z_t)
// with dt made here from its numbers of low rank. Products are the tensor cores', so that of a state two
// multiplications and an exponential are left.
//
// A warp owns TILES x 8 channels. Its lane 4 g + t has, of the TILES channels from TILES g on, the states 4t, 4t + 2,
// 4t + 1, 4t + 3, and of a turn of four steps everything of step t that is not of a state. The products of a tile:
// - h += x B, with the depth as steps: a lane's x = dt u, which is of step t, meets B only in the step whose turn it
//   is. Rows g and g + 8 are the same channel, and take the even and the odd states.
// - y = C h: what that leaves is the left operand as it lies. Rows g have the states 4t and 4t + 1, rows g + 8 the
//   other two, so that column 2i of the result is one half of step i's sum, column 2i + 1 the other, both in lanes with
//   t = i.
// x is two bfloat16 numbers, whose sum has 16 bits; h is read as TF32, with 11 bits of which the type of y keeps 8.
//
// Rows come into shared memory, some turns before they are needed. A load into registers would not do: what waits for
// it is one of six counters, which exponentials use too, and then wait for memory with it.
//
// With two directions a pair of warps has the same channels, one warp a direction. Each writes the half of y that it
// begins with, and adds to the other half once both have done so.
//
// A block takes one sequence after the other, as many as there are for it. Their turns are one row of turns, so that
// rows of the next sequence are on their way when it begins.
//
// For a backward pass dt before its bias is rounded, as it is when it is read again, and written. So are checkpoints of
// the states, as scan.cu leaves them.
//
// Defined by the caller: REVERSE, HAS_Z, HAS_D, HAS_BIAS, SOFTPLUS, A_LOG as for scan.cu, RANK, a multiple of 8 up to
// 32, TILES (1, 2 or 4), DIRECTIONS, SAVE (leave step sizes and checkpoints), THREADS, BLOCKS (of a multiprocessor).
#include "pairs.cuh"
#include "scan_steps.cuh"

using namespace mamba_prune::cuda::scan_kernel;
#if DIRECTIONS == 2
using Args = ScanBothArgs<scalar>;
#else
using Args = ScanOneArgs<scalar>;
#endif
using Side = ScanSide<scalar>;

constexpr int kSteps = 4;  // of a turn
constexpr int kDepth = 4;  // turns whose rows are there or on their way
constexpr int kStates = 16;
static_assert(kSegment % kSteps == 0, "checkpoints lie between turns");
constexpr int kColumns = RANK + 2 * kStates;  // of x_proj's result: for step sizes, B, C
constexpr int kPieces = kSteps * TILES;       // of 16 bytes, of a turn's rows of a warp's channels

// Of a warp. Pieces lie one after another: a lane copies one of u or z, one of y, and one of x_proj's result.
struct alignas(16) Turn {
  scalar u[kSteps][8 * TILES], z[kSteps][8 * TILES], y[kSteps][8 * TILES], projected[kSteps][kColumns];
};
static_assert(kColumns * sizeof(scalar) % 16 == 0 && kColumns <= 64, "whole pieces, a lane each");

// 16 bytes into shared memory, zeros where there is nothing to copy.
__device__ __forceinline__ void copy_piece(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
// For a backward pass much is written of which only y is needed soon. All else is the first to leave the L2 cache.
constexpr bool kStreams = SAVE;
__device__ __forceinline__ void copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until no more than so many groups are on their way, and all lanes see what has come.
template <int Groups> __device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
  __syncwarp();
}
__device__ __forceinline__ u32 two(const scalar* from) { return *reinterpret_cast<const u32*>(from); }

__device__ __forceinline__ void add_outer(float (&h)[4], const u32 (&x)[4], u32 states) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%8}, {%0,%1,%2,%3};"
      : "+f"(h[0]), "+f"(h[1]), "+f"(h[2]), "+f"(h[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(states));
}
// Step sizes of two channels, rows g and g + 8, from eight of a step's numbers of low rank.
__device__ __forceinline__ void add_steps(float (&sum)[4], u32 of_first, u32 of_second, u32 numbers) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(of_first), "r"(of_second), "r"(numbers));
}
__device__ __forceinline__ void add_inner(float (&y)[4], const float (&h)[4], u32 first, u32 second, bool begin) {
  if (begin)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
        : "=f"(y[0]), "=f"(y[1]), "=f"(y[2]), "=f"(y[3])
        : "r"(__float_as_uint(h[0])), "r"(__float_as_uint(h[1])), "r"(__float_as_uint(h[2])),
          "r"(__float_as_uint(h[3])), "r"(first), "r"(second), "f"(0.0f));
  else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(y[0]), "+f"(y[1]), "+f"(y[2]), "+f"(y[3])
        : "r"(__float_as_uint(h[0])), "r"(__float_as_uint(h[1])), "r"(__float_as_uint(h[2])),
          "r"(__float_as_uint(h[3])), "r"(first), "r"(second));
}
// x as two bfloat16 whose sum has 16 bits of it: as the left operand that takes the even states in rows g, and the odd
// ones in rows g + 8.
__device__ __forceinline__ void parts_of(u32 (&parts)[4], float x) {
  const u32 upper = __float_as_uint(x) & 0xffff0000u, rest = __float_as_uint(x - __uint_as_float(upper));
  parts[0] = upper >> 16, parts[1] = upper, parts[2] = rest >> 16, parts[3] = rest & 0xffff0000u;
}
__device__ __forceinline__ float silu(float x) {
  const float half = 0.5f * x;
  float r;
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(half));
  return half * r + half;
}
// As many neighbouring numbers as they lie in memory.
template <int Count> __device__ __forceinline__ Raw<Count> rounded(const float (&from)[Count]) {
  Raw<Count> r;
#pragma unroll
  for (int i = 0; i < Count; i += 2) r.v[i / 2] = pair(from[i], from[i + 1]);
  return r;
}
__device__ __forceinline__ Raw<1> rounded(const float (&from)[1]) { return {down(from[0]).bits}; }
template <int Count> __device__ __forceinline__ void put(scalar* to, const Raw<Count>& from) {
  *reinterpret_cast<Raw<Count>*>(to) = from;
}
// Four of them, and others as they are.
__device__ __forceinline__ void put_aside(scalar* to, const Raw<4>& from) {
  if (kStreams)
    asm volatile("st.global.cs.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(from.v[0]), "r"(from.v[1]) : "memory");
  else put(to, from);
}
template <int Count> __device__ __forceinline__ void put_aside(scalar* to, const Raw<Count>& from) { put(to, from); }
// Where a lane reads or writes: at its step of a turn of a sequence.
template <class T> struct Walk {
  T* at;
  int turn;  // bytes
  __device__ __forceinline__ Walk(T* data, int stride, const Args& s, int batch, int row, int column, bool back)
      : at(data + ((i64)batch * s.length + (back ? s.length - 1 - row : row)) * stride + column),
        turn((back ? -kSteps : kSteps) * stride * (int)sizeof(scalar)) {}
  __device__ __forceinline__ void go() { at = (T*)((const char*)at + turn); }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) scan_forward_tiles(const Args s) {
  __shared__ Turn rings[THREADS / 32][kDepth];
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const int warp = __shfl_sync(kAllLanes, threadIdx.x >> 5, 0);  // the same in all lanes, as the compiler now knows
  const int of_warp = (blockIdx.x * (THREADS / 32 / DIRECTIONS) + warp / DIRECTIONS) * (8 * TILES);
  if (of_warp >= s.width) return;
#if DIRECTIONS == 2
  const bool back = warp & 1;
  Side side = s.side[0];
  if (back) side = s.side[1];
#else
  const bool back = REVERSE;
  const Side& side = s.side;
#endif
  Turn* const ring = rings[warp];
  // Its pieces of a turn: of u or z, whose rows are as y's, and of x_proj's result.
  const int piece = lane % kPieces, piece_row = piece / TILES, piece_channel = of_warp + piece % TILES * 8;
  const bool of_z = lane / kPieces == 1, piece_there = lane < (HAS_Z ? 2 : 1) * kPieces && piece_channel < s.width;
  const int number = lane % (kColumns / 8) * 8, number_row = lane / (kColumns / 8);
  const auto rows_of = [&](int batch) {
    return Walk<const scalar>(of_z ? s.z : side.u, of_z ? s.z_row : s.u_row, s, batch, piece_row, piece_channel, back);
  };
  const auto numbers_of = [&](int batch) {
    return Walk<const scalar>(side.projected, s.b_row, s, batch, number_row, number, back);
  };
  int copied = blockIdx.y,
      left = s.length;  // the sequence of the turn that is copied next, and its steps from there on
  Walk<const scalar> rows = rows_of(copied), numbers = numbers_of(copied);
  const auto copy = [&](int place) {
    Turn& to = ring[place % kDepth];
    if (lane < 2 * kPieces) copy_piece(&to.u[0][0] + lane * 8, rows.at, piece_there && piece_row < left);
    if (number_row < kSteps) copy_piece(&to.projected[0][0] + lane * 8, numbers.at, number_row < left);
    rows.go(), numbers.go(), left -= kSteps;
    if (left > 0) return;
    copied += gridDim.y, left = copied < s.batch ? s.length : 0;
    rows = rows_of(copied), numbers = numbers_of(copied);
  };
#pragma unroll 1
  for (int turn = 0; turn < kDepth - 1; turn++) copy(turn), copies_end();

  const int channel = of_warp + g * TILES, at = min(channel, s.width - TILES);
  float rate[TILES][4], h[TILES][4], skip[TILES], bias[TILES], scale[TILES];
  u32 weights[RANK / 8][TILES];
#pragma unroll
  for (int j = 0; j < TILES; j++) {
    const int c = min(at + j, s.channels - 1);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float a = side.A[(i64)c * kStates + 4 * t + n % 2 * 2 + n / 2];
      rate[j][n] = (A_LOG ? -ex2(kLog2e * a) : a) * kLog2e;
    }
    skip[j] = HAS_D ? side.D[c] : 0.0f, bias[j] = HAS_BIAS ? side.bias[c] : 0.0f;
#pragma unroll
    for (int k = 0; k < RANK / 8; k++) weights[k][j] = two(side.dt_weight + (i64)(at + j) * RANK + 8 * k + 2 * t);
  }
  // Told by a shuffle: what comes of one stays in a register, and is not computed anew in every turn.
  u32 b_turn[kSteps], c_turn[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    b_turn[i] = __shfl_sync(kAllLanes, t == i ? ~0u : 0u, lane);
    c_turn[i] = __shfl_sync(kAllLanes, g >> 1 == i ? ~0u : 0u, lane);
  }
#if DIRECTIONS == 2
  const int half = s.length / 2 / kSteps * kSteps, first_half = back ? s.length - half : half;
  const int meet = (first_half + kSteps - 1) / kSteps * kSteps;
#endif

  int place = 0;  // of the turn at hand, of all turns of the block
  float next_scale = s.scale ? s.scale[blockIdx.y] : 1.0f;
#pragma unroll 1
  for (int batch = blockIdx.y; batch < s.batch; batch += gridDim.y) {
#pragma unroll
    for (int j = 0; j < TILES; j++) {
      // Results of channels that are not there are zero.
      scale[j] = channel + j < s.channels ? next_scale : 0.0f;
#pragma unroll
      for (int n = 0; n < 4; n++) h[j][n] = 0.0f;
    }
    if (s.scale && batch + gridDim.y < s.batch) next_scale = s.scale[batch + gridDim.y];
    Walk<scalar> y(s.y, s.y_row, s, batch, t, at, back);
#if SAVE
    Walk<scalar> deltas(side.delta, s.delta_row, s, batch, t, at, back);
    scalar* checkpoint = static_cast<scalar*>(side.checkpoints) +
                         ((i64)batch * ((s.length - 1) / kSegment) * s.channels + channel) * kStates + 4 * t;
#endif
#if DIRECTIONS == 2
    Walk<const scalar> sums_there(s.y, s.y_row, s, batch, meet + piece_row, piece_channel, back);
    int sums_left = s.length - meet;
    const auto copy_sums = [&](int of) {
      if (lane < kPieces && sums_left > 0)
        copy_piece(&ring[of % kDepth].y[0][0] + lane * 8, sums_there.at,
                   piece_channel < s.width && piece_row < sums_left);
      sums_there.go(), sums_left -= kSteps;
    };
    const auto wait_for_other = [&](int next) {
      __threadfence();
      asm volatile("bar.sync %0, 64;" ::"r"(1 + warp / 2) : "memory");
      for (int i = 0; i < kDepth - 1; i++) copy_sums(next + i);
      copies_end();
      copies_wait<0>();
    };
    if (meet == 0) wait_for_other(place);
#endif

#pragma unroll 1
    for (int first = 0; first < s.length; first += kSteps, place++) {
      const Turn& now = ring[place % kDepth];
      copies_wait<kDepth - 2>();
      copy(place + kDepth - 1);
#if DIRECTIONS == 2
      if (first >= meet) copy_sums(place + kDepth - 1);
#endif
      copies_end();
      const bool writes = first + t < s.length && channel < s.width;
#if SAVE
      if (first > 0 && first % kSegment == 0) {
#pragma unroll
        for (int j = 0; j < TILES; j++)
          if (channel + j < s.channels)
            put_aside(checkpoint + j * kStates, rounded({h[j][0], h[j][2], h[j][1], h[j][3]}));
        checkpoint += s.channels * kStates;
      }
#endif
      float dt[TILES], sums[TILES][4], skipped[TILES];
      u32 x[TILES][4], of_rank[RANK / 8];
      const Raw<TILES> us = *reinterpret_cast<const Raw<TILES>*>(now.u[t] + g * TILES);
#pragma unroll
      for (int k = 0; k < RANK / 8; k++) of_rank[k] = two(now.projected[g >> 1] + 8 * k + 2 * t);
      const u32 states = two(now.projected[t] + RANK + 2 * g);
      const u32 c = two(now.projected[g >> 1] + RANK + kStates + 4 * t + 2 * (g & 1));
      const u32 c_first = c << 16, c_second = c & 0xffff0000u;
#pragma unroll
      for (int j = 0; j < TILES; j += 2) {
        float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
        for (int k = 0; k < RANK / 8; k++)
          add_steps(sum, weights[k][j], j + 1 < TILES ? weights[k][j + 1] : 0, of_rank[k]);
        dt[j] = sum[0];
        if (j + 1 < TILES) dt[j + 1] = sum[2];
      }
#if SAVE
      const Raw<TILES> kept = rounded(dt);
#pragma unroll
      for (int j = 0; j < TILES; j++) dt[j] = kept.get(j);
      if (writes) put_aside(deltas.at, kept);
      deltas.go();
#endif
#pragma unroll
      for (int j = 0; j < TILES; j++) {
        const float v = us.get(j);
        dt[j] = tile_step_size(dt[j], bias[j]), skipped[j] = skip[j] * v;
        parts_of(x[j], dt[j] * v);
      }
#pragma unroll
      for (int i = 0; i < kSteps; i++) {
#pragma unroll
        for (int j = 0; j < TILES; j++) {
          const float step = __shfl_sync(kAllLanes, dt[j], i, 4);
#pragma unroll
          for (int n = 0; n < 4; n++) h[j][n] *= ex2(step * rate[j][n]);
          add_outer(h[j], x[j], states & b_turn[i]);
          add_inner(sums[j], h[j], c_first & c_turn[i], c_second & c_turn[i], i == 0);
        }
      }
      float out[TILES];
      Raw<TILES> gates{}, before{};
      if (HAS_Z) gates = *reinterpret_cast<const Raw<TILES>*>(now.z[t] + g * TILES);
#if DIRECTIONS == 2
      if (first >= meet) before = *reinterpret_cast<const Raw<TILES>*>(now.y[t] + g * TILES);
#endif
#pragma unroll
      for (int j = 0; j < TILES; j++) {
        out[j] = sums[j][0] + sums[j][3] + skipped[j];
        if (HAS_Z) out[j] *= silu(gates.get(j));
        out[j] = DIRECTIONS == 2 ? before.get(j) + out[j] * scale[j] : out[j] * scale[j];
      }
#if DIRECTIONS == 2
      const bool ours = first >= meet || first + t < first_half;
      if (writes && ours) put(y.at, rounded(out));
      if (first + kSteps == meet) {
        wait_for_other(place + 1);
        // Steps of the turn that are the other's already.
        if (writes && !ours) {
          before = *reinterpret_cast<const Raw<TILES>*>(y.at);
#pragma unroll
          for (int j = 0; j < TILES; j++) out[j] += before.get(j);
          put(y.at, rounded(out));
        }
      }
#else
      if (writes) put(y.at, rounded(out));
#endif
      y.go();
    }
  }
}
