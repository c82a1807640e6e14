// The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752, eq. 2), forward and backward:
//   h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,   y_t = (C_t . h_t + D u_t) * silu(z_t)
// States live in registers in float32 and never reach memory, except every kSegment steps where the forward pass
// leaves a checkpoint; the backward pass works through the segments in reverse, each recomputed from its checkpoint.
//
// Defined by the caller: N states, REVERSE (time runs backwards), HAS_Z, HAS_D, HAS_BIAS, SOFTPLUS, A_LOG (A is given
// as log(-A)), WHOLE_SEGMENTS (length is a multiple of kSegment), COLUMNS (the sequence is a grid, scanned column by
// column though its positions lie row by row in every tensor). For the forward pass SAVE (leave checkpoints), ADD_Y
// (add to y instead of writing it), SPLIT (threads of a channel), FORWARD_THREADS, FORWARD_BLOCKS (of a
// multiprocessor); for the backward pass, which takes up to 32 states, ADD_DU and ADD_DZ (as ADD_Y), SAME_ROWS (u,
// delta, dy, du and ddelta share one row stride, z and dz another), BACKWARD_THREADS, BACKWARD_BLOCKS. Only the pass
// that has its threads is compiled.
#include "scan_interface.h"

using namespace mamba_prune::cuda::scan_kernel;
#if COLUMNS
using Args = ColumnScanArgs<scalar>;
#else
using Args = ScanArgs<scalar>;
#endif
using Grads = ScanGrads<scalar>;

// Where a sequence begins, and the way from a step to the next one: scanned backwards it begins at its last row.
template <class T> __device__ __forceinline__ T* sequence(T* data, int row, const Args& s, int batch) {
  return data + ((i64)batch * s.length + (REVERSE && !COLUMNS ? s.length - 1 : 0)) * row;
}
__device__ __forceinline__ int stride(int row) { return REVERSE && !COLUMNS ? -row : row; }
// How many such ways from where a sequence begins a step lies.
__device__ __forceinline__ int place(const Args& s, int t) {
#if COLUMNS
  const int step = REVERSE ? s.length - 1 - t : t, column = (int)__umulhi((u32)step, s.inverse);
  return (step - column * s.height) * s.columns + column;
#else
  return t;
#endif
}

// Rate of decay in base 2, so that exp(dt A) is one instruction.
__device__ __forceinline__ float decay_rate(const Args& s, int channel, int state) {
  if (state >= N) return 0.0f;
  const float a = s.A[(i64)channel * N + state];
  return (A_LOG ? -ex2(kLog2e * a) : a) * kLog2e;
}
__device__ __forceinline__ float step_size(float delta, float bias) {
  const float x = HAS_BIAS ? delta + bias : delta;
  return SOFTPLUS ? softplus(x) : x;
}
// Steps of the segment that begins at `first`.
__device__ __forceinline__ int steps_of(const Args& s, int first) {
  return WHOLE_SEGMENTS ? kSegment : min(kSegment, s.length - first);
}

// Rows of B and C of the segment that begins at `first` as floats, [step][2 States]; what is not there is zero. B and C
// are where that segment begins, or, along columns, where the sequence does.
template <int States, int Threads> __device__ __forceinline__ void stage_bc(float (*bc)[2 * States], const scalar* B,
                                                                            const scalar* C, int b_stride, int c_stride,
                                                                            int steps, const Args& s, int first) {
#pragma unroll
  for (int i0 = 0; i0 < kSegment * 2 * States; i0 += Threads) {
    const int i = i0 + threadIdx.x, t = i / (2 * States), n = i % (2 * States), state = n % States;
    if (kSegment * 2 * States % Threads != 0 && t >= kSegment) break;
    const int at = COLUMNS ? place(s, first + t) : t;
    const scalar* from = n < States ? B + at * b_stride : C + at * c_stride;
    bc[t][n] = state < N && (WHOLE_SEGMENTS || t < steps) ? up(from[state]) : 0.0f;
  }
}

constexpr int kStates = saved_states(N);  // of a channel in a checkpoint

// ---------------------------------------------------------------------------------------------- forward
// A channel belongs to SPLIT threads, each with as many of its states. They share its steps as well: what is not of a
// state is done by one of them, and the others are told.
#ifdef FORWARD_THREADS
constexpr int kAhead = 4;                // steps whose inputs are loaded before they are needed
constexpr int kShared = kAhead / SPLIT;  // of these a thread's own
constexpr int kSplitStates = kStates / SPLIT;
constexpr int kAcross = 32 / SPLIT;  // channels of a warp
static_assert(kAhead % SPLIT == 0 && kStates % (4 * SPLIT) == 0 || SPLIT == 1, "every thread has as much");

// A number that the thread of step `i` has.
__device__ __forceinline__ float of_step(const float (&own)[kShared], int i) {
  return SPLIT == 1 ? own[i % kShared]
                    : __shfl_sync(kAllLanes, own[i % kShared], i / kShared * kAcross + (threadIdx.x & 31) % kAcross);
}
// Adds sums of every step over the threads of a channel; each keeps those of its own steps.
template <int Count> __device__ __forceinline__ void sum_of_own_steps(float (&sums)[Count], int part) {
  if constexpr (Count > kShared) {
    constexpr int half = Count / 2, away = half / kShared;
    float kept[half];
#pragma unroll
    for (int i = 0; i < half; i++) {
      const bool upper = part & away;
      const float keep = upper ? sums[half + i] : sums[i], give = upper ? sums[i] : sums[half + i];
      kept[i] = keep + __shfl_xor_sync(kAllLanes, give, away * kAcross);
    }
    sum_of_own_steps(kept, part);
#pragma unroll
    for (int i = 0; i < kShared; i++) sums[i] = kept[i];
  }
}

extern "C" __global__ void __launch_bounds__(FORWARD_THREADS, FORWARD_BLOCKS) scan_forward(const Args s) {
  __shared__ __align__(16) float bc[kSegment][2 * kStates];
  const int lane = threadIdx.x & 31, part = lane / kAcross, n0 = part * kSplitStates;
  const int channel = blockIdx.x * (FORWARD_THREADS / SPLIT) + threadIdx.x / 32 * kAcross + lane % kAcross;
  const int batch = blockIdx.y;
  const bool inside = channel < s.channels;
  const int c = inside ? channel : s.channels - 1;
  float rate[kSplitStates], h[kSplitStates];
#pragma unroll
  for (int n = 0; n < kSplitStates; n++) {
    rate[n] = decay_rate(s, c, n0 + n);
    h[n] = s.initial && n0 + n < N ? s.initial[((i64)batch * s.channels + c) * N + n0 + n] : 0.0f;
  }
  const float skip = HAS_D ? s.D[c] : 0.0f, bias = HAS_BIAS ? s.bias[c] : 0.0f;
  const scalar *u = sequence(s.u, s.u_row, s, batch) + c, *delta = sequence(s.delta, s.delta_row, s, batch) + c;
  const scalar* z = HAS_Z ? sequence(s.z, s.z_row, s, batch) + c : nullptr;
  const scalar *B = sequence(s.B, s.b_row, s, batch), *C = sequence(s.C, s.c_row, s, batch);
  scalar* y = sequence(s.y, s.y_row, s, batch) + channel;
  const float scale = s.scale ? s.scale[batch] : 1.0f;
  const int u_step = stride(s.u_row), delta_step = stride(s.delta_row), z_step = stride(s.z_row),
            y_step = stride(s.y_row);
  scalar next_u[kShared], next_delta[kShared], next_z[kShared], next_y[kShared];
  const auto read = [&](int i, int step) {
    const int t = place(s, WHOLE_SEGMENTS && kAhead <= kSegment ? step : min(step, s.length - 1));
    next_u[i] = u[t * u_step], next_delta[i] = delta[t * delta_step];
    if (HAS_Z) next_z[i] = z[t * z_step];
    if (ADD_Y && inside) next_y[i] = y[t * y_step];
  };
#pragma unroll
  for (int i = 0; i < kShared; i++) read(i, part * kShared + i);

#if BC_AHEAD
  // B and C of the next segment, on their way while this one is computed.
  constexpr int kBcCount = kSegment * 2 * kStates;
  constexpr bool kBcWhole = kBcCount % FORWARD_THREADS == 0;
  scalar next_bc[(kBcCount + FORWARD_THREADS - 1) / FORWARD_THREADS];
  const auto read_bc = [&](int first) {
#pragma unroll
    for (int i = 0; i * FORWARD_THREADS < kBcCount; i++) {
      const int j = i * FORWARD_THREADS + threadIdx.x, t = j / (2 * kStates), n = j % (2 * kStates),
                state = n % kStates;
      const bool there = state < N && first + t < s.length && (kBcWhole || t < kSegment);
      const int at = place(s, there ? first + t : 0);
      next_bc[i] = there ? (n < kStates ? B + at * stride(s.b_row) : C + at * stride(s.c_row))[state] : down(0.0f);
    }
  };
  read_bc(0);
#endif

  for (int first = 0; first < s.length; first += kSegment) {
    const int steps = steps_of(s, first);
    if (SAVE && first > 0 && inside) {
      const i64 segment = (i64)batch * ((s.length - 1) / kSegment) + first / kSegment - 1;
      float* to = s.checkpoints + (segment * s.channels + c) * kStates + n0;
#pragma unroll
      for (int n = 0; n < kSplitStates; n += 4)
        *reinterpret_cast<float4*>(to + n) = make_float4(h[n], h[n + 1], h[n + 2], h[n + 3]);
    }
    __syncthreads();
#if BC_AHEAD
#pragma unroll
    for (int i = 0; i * FORWARD_THREADS < kBcCount; i++) {
      const int j = i * FORWARD_THREADS + threadIdx.x;
      if (kBcWhole || j < kBcCount) (&bc[0][0])[j] = up(next_bc[i]);
    }
#else
    const int begin = COLUMNS ? 0 : first;
    stage_bc<kStates, FORWARD_THREADS>(bc, B + begin * stride(s.b_row), C + begin * stride(s.c_row), stride(s.b_row),
                                       stride(s.c_row), steps, s, first);
#endif
    __syncthreads();
#if BC_AHEAD
    read_bc(first + kSegment);
#endif
#pragma unroll 1
    for (int t0 = 0; t0 < steps; t0 += kAhead) {
      float us[kShared], dts[kShared], gates[kShared], before[kShared], inputs[kShared], sums[kAhead];
#pragma unroll
      for (int i = 0; i < kShared; i++) {
        us[i] = up(next_u[i]), dts[i] = step_size(up(next_delta[i]), bias), inputs[i] = dts[i] * us[i];
        if (HAS_Z) gates[i] = up(next_z[i]);
        if (ADD_Y && inside) before[i] = up(next_y[i]);
      }
      const int ahead = first + t0 + kAhead;
      if (ahead < s.length) {
#pragma unroll
        for (int i = 0; i < kShared; i++) read(i, ahead + part * kShared + i);
      }
      const auto finish = [&](int i, int t, float sum) {
        if (HAS_Z) sum *= gates[i] * sigmoid(gates[i]);
        if (channel < s.width)
          y[place(s, first + t) * y_step] = down(!inside ? 0.0f : ADD_Y ? before[i] + sum * scale : sum * scale);
      };
#pragma unroll
      for (int i = 0; i < kAhead; i++) {
        const int t = t0 + i;
        if (!WHOLE_SEGMENTS && t >= steps) break;
        const float dt = of_step(dts, i), x = of_step(inputs, i);
        float sum = SPLIT == 1 ? skip * us[i % kShared] : 0.0f, more = 0.0f;
#pragma unroll
        for (int n = 0; n < kSplitStates; n++) {
          h[n] = ex2(dt * rate[n]) * h[n] + x * bc[t][n0 + n];
          if (n % 2 == 0) sum += h[n] * bc[t][kStates + n0 + n];
          else more += h[n] * bc[t][kStates + n0 + n];
        }
        sums[i] = sum + more;
        if (SPLIT == 1) finish(i % kShared, t, sums[i]);
      }
      if (SPLIT == 1) continue;
      sum_of_own_steps(sums, part);
#pragma unroll
      for (int i = 0; i < kShared; i++) {
        const int t = t0 + part * kShared + i;
        if (!WHOLE_SEGMENTS && t >= steps) break;
        finish(i, t, sums[i] + skip * us[i]);
      }
    }
  }
  if (s.last && inside) {
#pragma unroll
    for (int n = 0; n < kSplitStates; n++)
      if (n0 + n < N) s.last[((i64)batch * s.channels + c) * N + n0 + n] = h[n];
  }
}
#endif

// ---------------------------------------------------------------------------------------------- backward
#ifdef BACKWARD_THREADS
// kGroups threads share a channel, kOwn states each. Sums over channels (the gradients of B and C) begin in the tensor
// cores: 16 values a lane times a matrix of zeros and ones leave the sums over 4 lanes each.
constexpr int kGroups = groups_of(N);
constexpr int kPadded = kOwn * kGroups;
constexpr int kMine = kChunk / kGroups;  // steps of a chunk whose elementwise work is this thread's
constexpr int kLanes = 32 / kGroups;     // channels of a warp
constexpr int kWarps = BACKWARD_THREADS / 32;
constexpr int kBlockChannels = BACKWARD_THREADS / kGroups;
constexpr int kChunks = kSegment / kChunk;

__device__ __forceinline__ void mma(float (&d)[4], float a0, float a1, float a2, float a3, float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(a2)), "r"(__float_as_uint(a3)),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}
__device__ __forceinline__ float below_tf32(float v) { return v - __uint_as_float(__float_as_uint(v) & 0xffffe000u); }

// Column n of the product is value n, row r the sum over the 4 lanes of lane group r (dB in rows 0 to 7, dC after).
// pick[n] is 1 in the lanes of group n.
__device__ __forceinline__ void sum_over_quads(float* out, const float (&dB)[kOwn], const float (&dC)[kOwn],
                                               const float (&pick)[kOwn]) {
  float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
  for (int n = 0; n < kOwn / 2; n++) {
    mma(d, dB[n], dC[n], dB[n + 4], dC[n + 4], pick[n], pick[n + 4]);
    // The tensor cores read 10 bits of the mantissa; for float32 results the next 11 follow.
    if (SCALAR == MAMBA_PRUNE_FLOAT32)
      mma(d, below_tf32(dB[n]), below_tf32(dC[n]), below_tf32(dB[n + 4]), below_tf32(dC[n + 4]), pick[n], pick[n + 4]);
  }
  const int lane = threadIdx.x & 31, at = (lane >> 2) * kOwn + (lane & 3) * 2;
  *reinterpret_cast<float2*>(out + at) = make_float2(d[0], d[1]);
  *reinterpret_cast<float2*>(out + 8 * kOwn + at) = make_float2(d[2], d[3]);
}

// Adds v over the threads of a channel; each keeps the sums of its own steps.
__device__ __forceinline__ void sum_over_groups(float (&mine)[kMine], const float (&v)[kChunk], int group) {
  if (kGroups == 4) {
    float half[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const bool upper = group & 2;
      const float keep = upper ? v[2 + i] : v[i], give = upper ? v[i] : v[2 + i];
      half[i] = keep + __shfl_xor_sync(kAllLanes, give, 16);
    }
    const bool odd = group & 1;
    mine[0] = (odd ? half[1] : half[0]) + __shfl_xor_sync(kAllLanes, odd ? half[0] : half[1], 8);
  } else if (kGroups == 2) {
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const float keep = group ? v[(kMine + i) % kChunk] : v[i], give = group ? v[i] : v[(kMine + i) % kChunk];
      mine[i] = keep + __shfl_xor_sync(kAllLanes, give, 16);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kMine; i++) mine[i] = v[i];
  }
}

extern "C" __global__ void __launch_bounds__(BACKWARD_THREADS, BACKWARD_BLOCKS)
    scan_backward(const Args s, const Grads g) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<BackwardShared<kGroups, BACKWARD_THREADS>*>(shared);
  auto& bc = memory.bc;
  auto& sums = memory.sums;
  auto& saved = memory.saved;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, group = lane / kLanes, n0 = group * kOwn;
  const int channel = blockIdx.x * kBlockChannels + warp * kLanes + lane % kLanes;
  const bool inside = channel < s.channels;
  const int c = inside ? channel : s.channels - 1;
  const int segments = (s.length + kSegment - 1) / kSegment;
  float rate[kOwn], dA[kOwn], pick[kOwn], dD = 0.0f, dbias = 0.0f;
#pragma unroll
  for (int n = 0; n < kOwn; n++) {
    rate[n] = decay_rate(s, c, n0 + n);
    dA[n] = 0.0f;
    pick[n] = (lane >> 2) == n ? 1.0f : 0.0f;
  }
  const float skip = HAS_D ? s.D[c] : 0.0f, bias = HAS_BIAS ? s.bias[c] : 0.0f;
  // With one stride for all the compiler computes one offset for all.
  const int u_row = s.u_row, delta_row = SAME_ROWS ? u_row : s.delta_row, dy_row = SAME_ROWS ? u_row : g.dy_row;
  const int du_row = SAME_ROWS ? u_row : g.du_row, ddelta_row = SAME_ROWS ? u_row : g.ddelta_row;
  const int z_row = s.z_row, dz_row = SAME_ROWS ? z_row : g.dz_row;
  const int column = min(channel, s.width - 1);

  const int batch_end = min(s.batch, (int)(blockIdx.y + 1) * g.batches_per_block);
  for (int batch = blockIdx.y * g.batches_per_block; batch < batch_end; batch++) {
    const i64 state = ((i64)batch * s.channels + c) * N + n0;
    const float scale = s.scale ? s.scale[batch] : 1.0f;
    float grad[kOwn];  // of the state after the step at hand
#pragma unroll
    for (int n = 0; n < kOwn; n++) grad[n] = g.dlast && inside && n0 + n < N ? g.dlast[state + n] : 0.0f;

    for (int segment = segments - 1; segment >= 0; segment--) {
      const int first = segment * kSegment, steps = steps_of(s, first);
      // This thread's steps of a chunk begin at group * kMine. The row of such a step, counted from the segment's
      // start:
      const int mine = batch * s.length + (REVERSE ? s.length - 1 - first - group * kMine : first + group * kMine);
      const auto row = [&](int t) {
        const int live_t = WHOLE_SEGMENTS ? t : min(t, steps - 1 - group * kMine);
        if (COLUMNS) return batch * s.length + place(s, first + group * kMine + live_t);
        return REVERSE ? mine - live_t : mine + live_t;
      };
      const auto at = [&](int row, int stride) { return (i64)row * stride + column; };
      const auto live = [&](int t) { return WHOLE_SEGMENTS || group * kMine + t < steps; };

      __syncthreads();
      const int begin = COLUMNS ? 0 : first;
      stage_bc<kPadded, BACKWARD_THREADS>(bc, sequence(s.B, s.b_row, s, batch) + begin * stride(s.b_row),
                                          sequence(s.C, s.c_row, s, batch) + begin * stride(s.c_row), stride(s.b_row),
                                          stride(s.c_row), steps, s, first);
      float h[kOwn];
      if (segment > 0) {
        const float* from =
            s.checkpoints + (((i64)batch * (segments - 1) + segment - 1) * s.channels + c) * kStates + n0;
#pragma unroll
        for (int n = 0; n < kOwn; n += 4) {
          const float4 v =
              n0 + n < kStates ? *reinterpret_cast<const float4*>(from + n) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
          h[n] = v.x, h[n + 1] = v.y, h[n + 2] = v.z, h[n + 3] = v.w;
        }
      } else {
#pragma unroll
        for (int n = 0; n < kOwn; n++) h[n] = s.initial && n0 + n < N ? s.initial[state + n] : 0.0f;
      }
      __syncthreads();

      // Forward through the segment, keeping the state at the start of each chunk.
      scalar next_u[kMine], next_delta[kMine];
      const auto read = [&](int chunk) {
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          const int r = row(chunk * kChunk + i);
          next_u[i] = s.u[at(r, u_row)], next_delta[i] = s.delta[at(r, delta_row)];
        }
      };
      read(0);
#pragma unroll 1
      for (int chunk = 0;; chunk++) {
#pragma unroll
        for (int n = 0; n < kOwn; n++) saved[chunk][n][tid] = h[n];
        if (chunk == kChunks - 1) break;
        float my_dt[kMine], my_u[kMine];
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          my_u[i] = up(next_u[i]);
          my_dt[i] = live(chunk * kChunk + i) ? step_size(up(next_delta[i]), bias) : 0.0f;
        }
        read(chunk + 1);
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          const int from = i / kMine * kLanes + lane % kLanes;
          const float dt = __shfl_sync(kAllLanes, my_dt[i % kMine], from);
          const float x = dt * __shfl_sync(kAllLanes, my_u[i % kMine], from);
          const float* B = &bc[chunk * kChunk + i][n0];
#pragma unroll
          for (int n = 0; n < kOwn; n++) h[n] = ex2(dt * rate[n]) * h[n] + x * B[n];
        }
      }

      // Backward, chunk by chunk; the inputs of the next one are on their way meanwhile.
      scalar next_z[kMine], next_dy[kMine];
      const auto read_all = [&](int chunk) {
        read(chunk);
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          const int r = row(chunk * kChunk + i);
          next_dy[i] = g.dy[at(r, dy_row)];
          if (HAS_Z) next_z[i] = s.z[at(r, z_row)];
        }
      };
      read_all(kChunks - 1);
#pragma unroll 1
      for (int chunk = kChunks - 1; chunk >= 0; chunk--) {
        float my_dt[kMine], my_u[kMine], my_z[kMine], my_dy[kMine], my_dyt[kMine], my_gate[kMine];
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          const bool here = live(chunk * kChunk + i);
          my_u[i] = up(next_u[i]);
          my_dt[i] = here ? step_size(up(next_delta[i]), bias) : 0.0f;
          my_dy[i] = here && inside ? up(next_dy[i]) * scale : 0.0f;
          my_z[i] = HAS_Z ? up(next_z[i]) : 0.0f;
          my_gate[i] = HAS_Z ? sigmoid(my_z[i]) : 1.0f;
          my_dyt[i] = HAS_Z ? my_dy[i] * my_z[i] * my_gate[i] : my_dy[i];
        }
        if (chunk > 0) read_all(chunk - 1);
        float start[kOwn], history[kChunk][kOwn], dts[kChunk], us[kChunk], dyts[kChunk];
#pragma unroll
        for (int n = 0; n < kOwn; n++) start[n] = saved[chunk][n][tid];
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          const int from = i / kMine * kLanes + lane % kLanes;
          dts[i] = __shfl_sync(kAllLanes, my_dt[i % kMine], from);
          us[i] = __shfl_sync(kAllLanes, my_u[i % kMine], from);
          dyts[i] = __shfl_sync(kAllLanes, my_dyt[i % kMine], from);
        }
#pragma unroll
        for (int i = 0; i < kChunk; i++) {
          const float x = dts[i] * us[i];
          const float* B = &bc[chunk * kChunk + i][n0];
#pragma unroll
          for (int n = 0; n < kOwn; n++)
            history[i][n] = ex2(dts[i] * rate[n]) * (i > 0 ? history[i > 0 ? i - 1 : 0][n] : start[n]) + x * B[n];
        }
        float ys[kChunk], dxs[kChunk], ddts[kChunk];
#pragma unroll
        for (int i = kChunk - 1; i >= 0; i--) {
          const float dt = dts[i], x = dt * us[i], dyt = dyts[i];
          const float* B = &bc[chunk * kChunk + i][n0];
          const float* C = &bc[chunk * kChunk + i][kPadded + n0];
          float y = 0.0f, dx = 0.0f, ddt = 0.0f, dB[kOwn], dC[kOwn];
#pragma unroll
          for (int n = 0; n < kOwn; n++) {
            y += history[i][n] * C[n];
            grad[n] += dyt * C[n];
            dC[n] = dyt * history[i][n];
            dB[n] = grad[n] * x;
            dx += grad[n] * B[n];
            grad[n] *= ex2(dt * rate[n]);
            const float q = grad[n] * (i > 0 ? history[i > 0 ? i - 1 : 0][n] : start[n]);
            dA[n] += q * dt;
            ddt += q * rate[n];
          }
          ys[i] = y, dxs[i] = dx, ddts[i] = ddt;
          sum_over_quads(sums[chunk * kChunk + i][warp], dB, dC, pick);
        }
        float my_y[kMine], my_dx[kMine], my_ddt[kMine];
        sum_over_groups(my_y, ys, group);
        sum_over_groups(my_dx, dxs, group);
        sum_over_groups(my_ddt, ddts, group);
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          if (channel >= s.width || !live(chunk * kChunk + i)) continue;
          const float dt = my_dt[i], u_t = my_u[i];
          // The derivative of softplus is sigmoid = 1 - exp(-softplus).
          const float slope = !SOFTPLUS || dt > 20.0f ? 1.0f : 1.0f - ex2(-kLog2e * dt);
          const float ddelta = (my_ddt[i] * kLn2 + my_dx[i] * u_t) * slope;
          dD += my_dyt[i] * u_t;
          dbias += ddelta;
          const int r = row(chunk * kChunk + i);
          const float du = inside ? my_dx[i] * dt + my_dyt[i] * skip : 0.0f;
          g.du[at(r, du_row)] = down(ADD_DU ? up(g.du[at(r, du_row)]) + du : du);
          g.ddelta[at(r, ddelta_row)] = down(inside ? ddelta : 0.0f);
          if (HAS_Z) {
            scalar* dz = g.dz + at(r, dz_row);
            const float value = my_dy[i] * (my_y[i] + skip * u_t) * my_gate[i] * (1.0f + my_z[i] * (1.0f - my_gate[i]));
            *dz = down(!inside ? 0.0f : ADD_DZ ? up(*dz) + value : value);
          }
        }
      }
      __syncthreads();
      // Four neighbouring results a thread: over the block's warps and the lane groups of one group of states.
      float* dbc = g.dbc + (i64)blockIdx.x * s.batch * s.length * 2 * kPadded;
      for (int i = tid; i < steps * kPadded / 2; i += BACKWARD_THREADS) {
        const int t = i / (kPadded / 2), n = i % (kPadded / 2) * 4, of = n / kPadded, state = n % kPadded;
        float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
        for (int w = 0; w < kWarps; w++)
#pragma unroll
          for (int r = 0; r < 8 / kGroups; r++) {
            const int row = of * 8 + state / kOwn * (8 / kGroups) + r;
            const float4 v = *reinterpret_cast<const float4*>(&sums[t][w][row * kOwn + state % kOwn]);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
          }
        *reinterpret_cast<float4*>(sequence(dbc, 2 * kPadded, s, batch) + place(s, first + t) * stride(2 * kPadded) +
                                   n) = sum;
      }
    }
    if (g.dinitial && inside) {
#pragma unroll
      for (int n = 0; n < kOwn; n++)
        if (n0 + n < N) g.dinitial[state + n] = grad[n];
    }
  }
  // dD and dbias are spread over the threads of a channel.
#pragma unroll
  for (int step = kLanes; step < 32; step <<= 1) {
    dD += __shfl_xor_sync(kAllLanes, dD, step);
    dbias += __shfl_xor_sync(kAllLanes, dbias, step);
  }
  if (inside) {
    float* out = g.params + (i64)blockIdx.y * s.channels * (N + 2);
#pragma unroll
    for (int n = 0; n < kOwn; n++)
      // With A = -exp(A_log) the derivative of A by A_log is A itself.
      if (n0 + n < N) out[c * N + n0 + n] = A_LOG ? dA[n] * rate[n] * kLn2 : dA[n];
    if (group == 0) out[N * s.channels + c] = dD, out[(N + 1) * s.channels + c] = dbias;
  }
}
#endif
