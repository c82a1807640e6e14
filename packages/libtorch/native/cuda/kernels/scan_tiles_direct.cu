#define ADD_Y 0
// The forward scan of scan.cu for bfloat16 and 16 states, without checkpoints, with the outer and inner products of a
// step in the tensor cores:
//   h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,   y_t = (C_t . h_t + D u_t) * silu(z_t)
// What is left per state is two multiplications and an exponential, so that the special functions alone bound it.
//
// A warp owns TILES x 8 channels. Its lane 4 g + t has, of the TILES channels from TILES g on, the states 4t, 4t + 2,
// 4t + 1, 4t + 3, and of each four steps everything of step t that is not of a state. Two products a step and tile:
// - h += x B with the depth as steps: a lane's x = dt u, which is of step t, meets B only in the step whose turn it is.
//   Rows g and g + 8 are the same channel, and take the even and the odd states.
// - y = C h: what that leaves is the left operand as it lies. Rows g have the states 4t and 4t + 1, rows g + 8 the
// other
//   two, so that column 2i of the result is one half of step i's sum, column 2i + 1 the other, both in lanes with t =
//   i.
// x is two bfloat16 numbers, whose sum has 16 bits; h is read as TF32, with 11 bits of which the type of y keeps 8.
//
// Defined by the caller: REVERSE, HAS_Z, HAS_D, HAS_BIAS, SOFTPLUS, A_LOG, ADD_Y as for scan.cu, TILES (1, 2 or 4),
// THREADS, BLOCKS (of a multiprocessor), POLYNOMIALS (of a lane's 4 TILES exponentials of a step).
#include "scan_interface.h"

using namespace mamba_prune::cuda::scan_kernel;
#if DIRECTIONS == 2
using Args = ScanBothArgs<scalar>;
#else
using Args = ScanOneArgs<scalar>;
#endif
using Side = ScanSide<scalar>;

constexpr int kSteps = 4;  // of a turn

__device__ __forceinline__ void add_outer(float (&h)[4], const u32 (&x)[4], u32 states) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%8}, {%0,%1,%2,%3};"
      : "+f"(h[0]), "+f"(h[1]), "+f"(h[2]), "+f"(h[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(states));
}
#if RANK > 0
// Step sizes of two channels, rows g and g + 8, from eight of a step's numbers of low rank.
__device__ __forceinline__ void add_steps(float (&sum)[4], u32 of_first, u32 of_second, u32 numbers) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(of_first), "r"(of_second), "r"(numbers));
}
#endif
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
__device__ __forceinline__ float step_size(float delta, float bias) {
  const float x = HAS_BIAS ? delta + bias : delta;
  return SOFTPLUS ? softplus(x) : x;
}
__device__ __forceinline__ float silu(float x) {
  const float half = 0.5f * x;
  float r;
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(half));
  return half * r + half;
}
// 2^(step rate) for rate <= 0 without a special function: 2^(what rounding leaves, -0.5 to 0.5) by a polynomial. From
// step = limit on it is as good as nothing.
__device__ __forceinline__ float ex2_polynomial(float step, float rate, float limit) {
  const float magic = 12582912.0f, most = fminf(step, limit), rounded = most * rate + magic;
  const float f = most * rate - (rounded - magic);
  float p = 0.00958285f;
  p = p * f + 0.05590642f;
  p = p * f + 0.24024099f;
  p = p * f + 0.69312419f;
  p = p * f + 1.0f;
  return __uint_as_float(__float_as_uint(p) + (__float_as_uint(rounded) << 23));
}

// Where this lane reads or writes next: at its step of a turn.
struct Walk {
  const scalar* at;
  int turn;  // bytes
  __device__ __forceinline__ Walk(const scalar* data, int stride, const Args& s, int row, int column, bool back)
      : at(data + ((i64)blockIdx.y * s.length + (back ? s.length - 1 - row : row)) * stride + column),
        turn((back ? -kSteps : kSteps) * stride * (int)sizeof(scalar)) {}
  template <class T> __device__ __forceinline__ T get() const { return *reinterpret_cast<const T*>(at); }
  __device__ __forceinline__ void go() { at = (const scalar*)((const char*)at + turn); }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) scan_forward_tiles(const Args s) {
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
  const int channel = of_warp + g * TILES, at = min(channel, s.width - TILES);
  float rate[TILES][4], h[TILES][4], skip[TILES], bias[TILES], scale[TILES];
#pragma unroll
  for (int j = 0; j < TILES; j++) {
    const int c = min(at + j, s.channels - 1);
    // Results of channels that are not there are zero.
    scale[j] = channel + j >= s.channels ? 0.0f : s.scale ? s.scale[blockIdx.y] : 1.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const float a = side.A[(i64)c * 16 + 4 * t + n % 2 * 2 + n / 2];
      rate[j][n] = (A_LOG ? -ex2(kLog2e * a) : a) * kLog2e, h[j][n] = 0.0f;
    }
    skip[j] = HAS_D ? side.D[c] : 0.0f, bias[j] = HAS_BIAS ? side.bias[c] : 0.0f;
  }
  const int own = min(t, s.length - 1), other = min(g >> 1, s.length - 1);
#if RANK > 0
  u32 weights[RANK / 8][TILES];
#pragma unroll
  for (int k = 0; k < RANK / 8; k++)
#pragma unroll
    for (int j = 0; j < TILES; j++)
      weights[k][j] = *reinterpret_cast<const u32*>(side.dt_weight + (i64)(at + j) * RANK + 8 * k + 2 * t);
  Walk delta(side.projected, s.delta_row, s, other, 2 * t, back);
  u32 next_delta[RANK / 8];
  const auto read_delta = [&] {
#pragma unroll
    for (int k = 0; k < RANK / 8; k++) next_delta[k] = *reinterpret_cast<const u32*>(delta.at + 8 * k);
  };
#else
  Walk delta(side.projected, s.delta_row, s, own, at, back);
  Raw<TILES> next_delta;
  const auto read_delta = [&] { next_delta = delta.get<Raw<TILES>>(); };
#endif
  read_delta();
  Walk u(side.u, s.u_row, s, own, at, back), z(s.z, s.z_row, s, own, at, back), y(s.y, s.y_row, s, own, at, back),
      B(side.projected + RANK, s.delta_row, s, own, 2 * g, back),
      C(side.projected + RANK + 16, s.delta_row, s, other, 4 * t + 2 * (g & 1), back);
  u32 b_turn[kSteps], c_turn[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; i++) b_turn[i] = t == i ? ~0u : 0u, c_turn[i] = g >> 1 == i ? ~0u : 0u;
  Raw<TILES> next_u = u.get<Raw<TILES>>(), gates{}, before{};
  u32 next_B = B.get<u32>(), next_C = C.get<u32>();
#if DIRECTIONS == 2
  // Each direction writes the half that it begins with, and adds to the other's once both have done so.
  const int half = s.length / 2 / kSteps * kSteps, first_half = back ? s.length - half : half;
  const int meet = (first_half + kSteps - 1) / kSteps * kSteps;
  const auto wait = [&] { asm volatile("bar.sync %0, 64;" ::"r"(1 + warp / 2) : "memory"); };
  if (meet == 0) wait();
#endif

#pragma unroll 1
  for (int first = 0; first < s.length; first += kSteps) {
    float dt[TILES], sums[TILES][4], skipped[TILES];
    u32 x[TILES][4];
    const bool live = first + t < s.length;
    if (HAS_Z && live) gates = z.get<Raw<TILES>>();
#if DIRECTIONS == 2
    if (first >= meet && live) before = y.get<Raw<TILES>>();
#else
    if (ADD_Y && live) before = y.get<Raw<TILES>>();
#endif
#if RANK > 0
#pragma unroll
    for (int j = 0; j < TILES; j += 2) {
      float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
      for (int k = 0; k < RANK / 8; k++)
        add_steps(sum, weights[k][j], j + 1 < TILES ? weights[k][j + 1] : 0, next_delta[k]);
      dt[j] = sum[0];
      if (j + 1 < TILES) dt[j + 1] = sum[2];
    }
#else
#pragma unroll
    for (int j = 0; j < TILES; j++) dt[j] = next_delta.get(j);
#endif
#pragma unroll
    for (int j = 0; j < TILES; j++) {
      const float v = next_u.get(j);
      dt[j] = step_size(dt[j], bias[j]), skipped[j] = skip[j] * v;
      parts_of(x[j], dt[j] * v);
    }
    const u32 states = next_B, c_first = next_C << 16, c_second = next_C & 0xffff0000u;
    // Behind the end the last ones are used once more: what comes of them is read by none.
    u.go(), delta.go(), B.go(), C.go();
    if (first + kSteps + t < s.length) next_u = u.get<Raw<TILES>>(), next_B = B.get<u32>();
    if (first + kSteps + (g >> 1) < s.length) next_C = C.get<u32>();
    if (first + kSteps + (RANK > 0 ? g >> 1 : t) < s.length) read_delta();
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
#pragma unroll
      for (int j = 0; j < TILES; j++) {
        const float step = __shfl_sync(kAllLanes, dt[j], i, 4);
#pragma unroll
        for (int n = 0; n < 4; n++) {
          h[j][n] *= A_LOG && j + TILES * n < POLYNOMIALS ? ex2_polynomial(step, rate[j][n], -126.0f / rate[j][n])
                                                          : ex2(step * rate[j][n]);
        }
        add_outer(h[j], x[j], states & b_turn[i]);
        add_inner(sums[j], h[j], c_first & c_turn[i], c_second & c_turn[i], i == 0);
      }
    }
    float out[TILES];
#pragma unroll
    for (int j = 0; j < TILES; j++) {
      out[j] = sums[j][0] + sums[j][3] + skipped[j];
      if (HAS_Z) out[j] *= silu(gates.get(j));
      out[j] = ADD_Y || DIRECTIONS == 2 ? before.get(j) + out[j] * scale[j] : out[j] * scale[j];
    }
    scalar* const to = const_cast<scalar*>(y.at);
    const bool writes = live && channel < s.width;
#if DIRECTIONS == 2
    const bool ours = first >= meet || first + t < first_half;
    if (writes && ours) store<TILES>(to, out);
    if (first + kSteps == meet) {
      wait();
      // Steps of the turn that are the other's already.
      if (writes && !ours) {
        before = y.get<Raw<TILES>>();
#pragma unroll
        for (int j = 0; j < TILES; j++) out[j] += before.get(j);
        store<TILES>(to, out);
      }
    }
#else
    if (writes) store<TILES>(to, out);
#endif
    z.go(), y.go();
  }
}
