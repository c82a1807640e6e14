// The selective scan of Mamba (Gu and Dao 2023, arXiv 2312.00752, eq. 2), forward and backward:
//   h_t = exp(dt_t A) h_{t-1} + dt_t u_t B_t,   y_t = (C_t . h_t + D u_t) * silu(z_t)
// States live in registers in float32 and never reach memory, except every kSegment steps where the forward pass
// leaves a checkpoint; the backward pass works through the segments in reverse, each recomputed from its checkpoint.
// Beside 16-bit elements checkpoints are bfloat16: gradients see each state rounded once, and nothing adds up.
//
// Defined by the caller: N states, REVERSE (time runs backwards), HAS_Z, HAS_D, HAS_BIAS, SOFTPLUS, A_LOG (A is given
// as log(-A)), WHOLE_SEGMENTS (length is a multiple of kStaged, backward of kSegment), COLUMNS (the sequence is a grid,
// scanned column by column though its positions lie row by row in every tensor). For the forward pass SAVE (leave
// checkpoints), ADD_Y (add to y instead of writing it), SPLIT (threads of a channel), FORWARD_THREADS, FORWARD_BLOCKS
// (of a multiprocessor); for the backward pass, which takes up to 32 states, ADD_DU and ADD_DZ (as ADD_Y), VECTOR
// (neighbouring channels moved at once: 1, 2 or 4), SAME_ROWS (u, delta, dy, du and ddelta share one row stride, z and
// dz another), BACKWARD_THREADS, BACKWARD_BLOCKS. Only the pass that has its threads is compiled.
#include "scan.cuh"

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

// Rows of B and C of the kStaged steps that begin at `first` as floats, [step][2 kStates]; what is not there is zero. B
// and C are where those steps begin, or, along columns, where the sequence does.
__device__ __forceinline__ void stage_bc(float (*bc)[2 * kStates], const scalar* B, const scalar* C, int b_stride,
                                         int c_stride, int steps, const Args& s, int first) {
#pragma unroll
  for (int i0 = 0; i0 < kStaged * 2 * kStates; i0 += FORWARD_THREADS) {
    const int i = i0 + threadIdx.x, t = i / (2 * kStates), n = i % (2 * kStates), state = n % kStates;
    if (kStaged * 2 * kStates % FORWARD_THREADS != 0 && t >= kStaged) break;
    const int at = COLUMNS ? place(s, first + t) : t;
    const scalar* from = n < kStates ? B + at * b_stride : C + at * c_stride;
    bc[t][n] = state < N && (WHOLE_SEGMENTS || t < steps) ? up(from[state]) : 0.0f;
  }
}

extern "C" __global__ void __launch_bounds__(FORWARD_THREADS, FORWARD_BLOCKS) scan_forward(const Args s) {
  __shared__ __align__(16) float bc[kStaged][2 * kStates];
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
    const int t = place(s, WHOLE_SEGMENTS ? step : min(step, s.length - 1));
    next_u[i] = u[t * u_step], next_delta[i] = delta[t * delta_step];
    if (HAS_Z) next_z[i] = z[t * z_step];
    if (ADD_Y && inside) next_y[i] = y[t * y_step];
  };
#pragma unroll
  for (int i = 0; i < kShared; i++) read(i, part * kShared + i);

  for (int first = 0; first < s.length; first += kStaged) {
    const int steps = WHOLE_SEGMENTS ? kStaged : min(kStaged, s.length - first);
    __syncthreads();
    const int begin = COLUMNS ? 0 : first;
    stage_bc(bc, B + begin * stride(s.b_row), C + begin * stride(s.c_row), stride(s.b_row), stride(s.c_row), steps, s,
             first);
    __syncthreads();
#pragma unroll 1
    for (int piece = 0; piece < steps; piece += kSegment) {
      if (SAVE && first + piece > 0 && inside) {
        const i64 segment = (i64)batch * ((s.length - 1) / kSegment) + (first + piece) / kSegment - 1;
        Saved* to = static_cast<Saved*>(s.checkpoints) + ((segment * s.channels + c) * kStates + n0) / 4;
#pragma unroll
        for (int n = 0; n < kSplitStates; n += 4) to[n / 4] = save_states(h + n);
      }
#pragma unroll 1
      for (int t0 = piece; t0 < min(steps, piece + kSegment); t0 += kAhead) {
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
// kGroups threads share a channel, kOwn states each. What is not of a state but of a channel's step is computed once,
// by lanes that each take VECTOR channels of a step, and passed on through shared memory, within a warp.
//
// Sums over channels (the gradients of B and C) begin in the tensor cores: 16 values a lane times a matrix of zeros and
// ones leave the sums over 4 lanes each.
constexpr int kGroups = groups_of(N);
constexpr int kPadded = kOwn * kGroups;
constexpr int kLanes = 32 / kGroups;     // channels of a warp
constexpr int kPacks = kLanes / VECTOR;  // of them, VECTOR moved together
constexpr int kRows = 32 / kPacks;       // steps that the lanes of a warp take at once
constexpr int kTurns = kSegment / kRows;
constexpr int kWarps = BACKWARD_THREADS / 32;
constexpr int kBlockChannels = BACKWARD_THREADS / kGroups;
constexpr int kShares = 2 * kPadded * kSegment / BACKWARD_THREADS;  // of a thread of what is staged, and of the sums
static_assert(kRows <= kSegment && kShares >= 1, "every lane has work");
static_assert(VECTOR <= 2, "what slot() says of banks holds for packs of one or two channels");

// Where a warp's channel has its numbers of a step: neither eight neighbouring lanes with a channel each nor eight with
// a pack each meet in a bank.
__device__ __forceinline__ int slot(int channel) {
  const int v = channel % VECTOR;
  return v * kPacks + (channel / VECTOR ^ (kPacks >= 8 ? 4 * v : 0));
}

struct alignas(4 * kShares) Shares {
  float v[kShares];
};
template <class T> __device__ __forceinline__ T* bytes_on(T* from, i64 bytes) {
  return (T*)((const char*)from + bytes);
}

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

extern "C" __global__ void __launch_bounds__(BACKWARD_THREADS, BACKWARD_BLOCKS)
    scan_backward(const Args s, const Grads g) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<BackwardShared<kGroups, BACKWARD_THREADS>*>(shared);
  auto& bc = memory.bc;
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, group = lane / kLanes, n0 = group * kOwn;
  auto& steps = memory.steps[warp];
  auto& states = memory.states[warp];
  // This thread's states are those of `channel`. Of a step it has VECTOR channels, from the block's channel `first` on.
  const int channel = blockIdx.x * kBlockChannels + warp * kLanes + lane % kLanes;
  const int pack = lane % kPacks * VECTOR, own_row = lane / kPacks, first = warp * kLanes + pack;
  const int first_channel = blockIdx.x * kBlockChannels + first;
  const int own_slot = slot(lane % kLanes);
  const bool inside = channel < s.channels;
  const int c = inside ? channel : s.channels - 1;
  const int segments = (s.length + kSegment - 1) / kSegment;
  float rate[kOwn], dA[kOwn], pick[kOwn], dD[VECTOR], dbias[VECTOR];
#pragma unroll
  for (int n = 0; n < kOwn; n++) {
    rate[n] = decay_rate(s, c, n0 + n);
    dA[n] = 0.0f;
    pick[n] = (lane >> 2) == n ? 1.0f : 0.0f;
  }
#pragma unroll
  for (int v = 0; v < VECTOR; v++) dD[v] = 0.0f, dbias[v] = 0.0f;
  for (int i = tid; i < kBlockChannels; i += BACKWARD_THREADS) {
    const int of = min((int)blockIdx.x * kBlockChannels + i, s.channels - 1);
    memory.skip[i] = HAS_D ? s.D[of] : 0.0f, memory.bias[i] = HAS_BIAS ? s.bias[of] : 0.0f;
  }
  __syncthreads();
  // Bytes from a step to the next. With one stride for all the compiler computes one offset for all.
  constexpr int kSize = sizeof(scalar);
  const int u_row = s.u_row * kSize, delta_row = SAME_ROWS ? u_row : s.delta_row * kSize;
  const int dy_row = SAME_ROWS ? u_row : g.dy_row * kSize, du_row = SAME_ROWS ? u_row : g.du_row * kSize;
  const int ddelta_row = SAME_ROWS ? u_row : g.ddelta_row * kSize;
  const int z_row = s.z_row * kSize, dz_row = SAME_ROWS ? z_row : g.dz_row * kSize;
  const i64 column = min(first_channel, s.width - VECTOR) * kSize;
  // Of B and C a thread has one column of every kBcRows-th step.
  constexpr int kBcRows = BACKWARD_THREADS / (2 * kPadded);
  const int bc_column = tid % (2 * kPadded), bc_row = tid / (2 * kPadded), bc_state = bc_column % kPadded;
  const scalar* bc_from = (bc_column < kPadded ? s.B : s.C) + min(bc_state, N - 1);
  const int bc_stride = bc_column < kPadded ? s.b_row : s.c_row;

  const int batch_end = min(s.batch, (int)(blockIdx.y + 1) * g.batches_per_block);
  for (int batch = blockIdx.y * g.batches_per_block; batch < batch_end; batch++) {
    const i64 state = ((i64)batch * s.channels + c) * N + n0;
    const float scale = s.scale ? s.scale[batch] : 1.0f;
    float grad[kOwn];  // of the state after the step at hand
#pragma unroll
    for (int n = 0; n < kOwn; n++) grad[n] = g.dlast && inside && n0 + n < N ? g.dlast[state + n] : 0.0f;

    // The row of a step in memory; behind the end it is that of the last one.
    const auto row = [&](int step) {
      const int t = WHOLE_SEGMENTS ? step : min(step, s.length - 1);
      return batch * s.length + (COLUMNS ? place(s, t) : REVERSE ? s.length - 1 - t : t);
    };
    // What a segment reads, on its way while the one before is worked on.
    Raw<VECTOR> next_u[kTurns], next_delta[kTurns], next_z[kTurns], next_dy[kTurns];
    scalar next_bc[kShares];
    Saved next_h[kOwn / 4];
    const Saved* checkpoint = static_cast<const Saved*>(s.checkpoints) +
                              (((i64)batch * (segments - 1) + segments - 1) * s.channels + c) * (kStates / 4) + n0 / 4;
    const auto read = [&](int segment) {
#pragma unroll
      for (int i = 0; i < kTurns; i++) {
        const i64 r = row(segment * kSegment + i * kRows + own_row);
        const auto raw = [&](const scalar* from, int stride) {
          return *reinterpret_cast<const Raw<VECTOR>*>(bytes_on(from, r * stride + column));
        };
        next_u[i] = raw(s.u, u_row), next_delta[i] = raw(s.delta, delta_row), next_dy[i] = raw(g.dy, dy_row);
        if (HAS_Z) next_z[i] = raw(s.z, z_row);
      }
#pragma unroll
      for (int i = 0; i < kShares; i++)
        next_bc[i] = bc_from[(i64)row(segment * kSegment + i * kBcRows + bc_row) * bc_stride];
      checkpoint -= s.channels * (kStates / 4);
      if (segment > 0) {
#pragma unroll
        for (int n = 0; n < kOwn; n += 4)
          if (n0 + n < kStates) next_h[n / 4] = checkpoint[n / 4];
      }
    };
    read(segments - 1);

#pragma unroll 1
    for (int segment = segments - 1; segment >= 0; segment--) {
      const int live_steps = WHOLE_SEGMENTS ? kSegment : min(kSegment, s.length - segment * kSegment);
      const auto live = [&](int t) { return WHOLE_SEGMENTS || t < live_steps; };
      // The block is through with the segment behind this one but for its sums, which lie elsewhere.
#pragma unroll
      for (int i = 0; i < kShares; i++) {
        const int t = i * kBcRows + bc_row;
        bc[t][bc_column] = (N == kPadded || bc_state < N) && live(t) ? up(next_bc[i]) : 0.0f;
      }
      Raw<VECTOR> zs[kTurns], dys[kTurns];
#pragma unroll
      for (int i = 0; i < kTurns; i++) {
        const int t = i * kRows + own_row;
        zs[i] = next_z[i], dys[i] = next_dy[i];
#pragma unroll
        for (int v = 0; v < VECTOR; v++) {
          const float weight = live(t) && first_channel + v < s.channels ? 1.0f : 0.0f;
          const float dy = dys[i].get(v) * (scale * weight), z = HAS_Z ? zs[i].get(v) : 0.0f;
          *reinterpret_cast<float4*>(steps[t][slot(pack + v)]) =
              make_float4(step_size(next_delta[i].get(v), memory.bias[first + v]) * weight, next_u[i].get(v) * weight,
                          HAS_Z ? dy * z * sigmoid(z) : dy, 0.0f);
        }
      }
      float h[kOwn];
#pragma unroll
      for (int n = 0; n < kOwn; n += 4) {
        if (segment > 0 && n0 + n < kStates) restore_states(h + n, next_h[n / 4]);
        else
#pragma unroll
          for (int k = n; k < n + 4; k++) h[k] = segment == 0 && s.initial && n0 + k < N ? s.initial[state + k] : 0.0f;
      }
      if (segment > 0) read(segment - 1);
      __syncthreads();

      // Forward through the segment, keeping the state before each step.
#pragma unroll
      for (int t = 0; t < kSegment; t++) {
#pragma unroll
        for (int n = 0; n < kOwn; n += 4)
          *reinterpret_cast<float4*>(states[t][n / 4][lane]) = make_float4(h[n], h[n + 1], h[n + 2], h[n + 3]);
        const float2 step = *reinterpret_cast<const float2*>(steps[t][own_slot]);
        const float dt = step.x, x = dt * step.y;
        const float* B = &bc[t][n0];
#pragma unroll
        for (int n = 0; n < kOwn; n++) h[n] = ex2(dt * rate[n]) * h[n] + x * B[n];
      }
      // And back.
#pragma unroll
      for (int t = kSegment - 1; t >= 0; t--) {
        const float4 step = *reinterpret_cast<const float4*>(steps[t][own_slot]);
        const float dt = step.x, x = dt * step.y, dyt = step.z;
        const float *B = &bc[t][n0], *C = &bc[t][kPadded + n0];
        float y = 0.0f, dx = 0.0f, ddt = 0.0f, dB[kOwn], dC[kOwn];
#pragma unroll
        for (int n = 0; n < kOwn; n++) {
          y += h[n] * C[n];
          grad[n] += dyt * C[n];
          dC[n] = dyt * h[n];
          dB[n] = grad[n] * x;
          dx += grad[n] * B[n];
          grad[n] *= ex2(dt * rate[n]);
          h[n] = states[t][n / 4][lane][n % 4];
          const float q = grad[n] * h[n];
          dA[n] += q * dt;
          ddt += q * rate[n];
        }
        __syncwarp();
        sum_over_quads(&states[t][0][0][0], dB, dC, pick);
        *reinterpret_cast<float4*>(states[t][1][group * kLanes + own_slot]) = make_float4(y, dx, ddt, 0.0f);
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kTurns; i++) {
        const int t = i * kRows + own_row;
        const i64 r = row(segment * kSegment + t);
        float du[VECTOR], ddelta[VECTOR], dz[VECTOR];
#pragma unroll
        for (int v = 0; v < VECTOR; v++) {
          const float4 step = *reinterpret_cast<const float4*>(steps[t][slot(pack + v)]);
          float4 part = *reinterpret_cast<const float4*>(states[t][1][slot(pack + v)]);
          float y = part.x, dx = part.y, ddt = part.z;
#pragma unroll
          for (int k = 1; k < kGroups; k++) {
            part = *reinterpret_cast<const float4*>(states[t][1][k * kLanes + slot(pack + v)]);
            y += part.x, dx += part.y, ddt += part.z;
          }
          const float dt = step.x, u = step.y, dyt = step.z, skip = memory.skip[first + v];
          // The derivative of softplus is sigmoid = 1 - exp(-softplus), and dt = 0 behind the end.
          const float slope = SOFTPLUS ? 1.0f - ex2(-kLog2e * dt) : 1.0f;
          ddelta[v] = (ddt * kLn2 + dx * u) * slope;
          du[v] = dx * dt + dyt * skip;
          dD[v] += dyt * u;
          if (HAS_Z) {
            const float z = zs[i].get(v), gate = sigmoid(z);
            dz[v] = dys[i].get(v) * scale * (y + skip * u) * gate * (1.0f + z * (1.0f - gate));
          }
          if (live(t)) dbias[v] += ddelta[v];
        }
        if (first_channel >= s.width || !live(t)) continue;
        const auto put = [&](scalar* to, float (&values)[VECTOR], bool add) {
          if (add) {
            const Raw<VECTOR> before = *reinterpret_cast<const Raw<VECTOR>*>(to);
#pragma unroll
            for (int v = 0; v < VECTOR; v++) values[v] += before.get(v);
          }
#pragma unroll
          for (int v = 0; v < VECTOR; v++)
            if (first_channel + v >= s.channels) values[v] = 0.0f;
          store<VECTOR>(to, values);
        };
        put(bytes_on(g.du, r * du_row + column), du, ADD_DU);
        put(bytes_on(g.ddelta, r * ddelta_row + column), ddelta, false);
        if (HAS_Z) put(bytes_on(g.dz, r * dz_row + column), dz, ADD_DZ);
      }
      __syncthreads();
      // Neighbouring results of a thread: over the block's warps and the lane groups of one group of states.
      constexpr int kOf = 2 * kPadded / kShares;  // threads of a step
      constexpr int kParts = 8 / kGroups;
      const int t = tid / kOf, n = tid % kOf * kShares, of = n / kPadded, own = n % kPadded / kOwn;
      Shares sum;
#pragma unroll
      for (int w = 0; w < kWarps; w++)
#pragma unroll
        for (int p = 0; p < kParts; p++) {
          // Lanes begin at different parts, which lie in different banks.
          const int part = of * 8 + own * kParts + (p + of * kGroups + own) % kParts;
          const Shares from = *reinterpret_cast<const Shares*>(&memory.states[w][t][0][0][0] + part * kOwn + n % kOwn);
#pragma unroll
          for (int k = 0; k < kShares; k++) sum.v[k] = w == 0 && p == 0 ? from.v[k] : sum.v[k] + from.v[k];
        }
      if (live(t))
        *reinterpret_cast<Shares*>(
            g.dbc + ((i64)blockIdx.x * s.batch * s.length + row(segment * kSegment + t)) * (2 * kPadded) + n) = sum;
    }
    if (g.dinitial && inside) {
#pragma unroll
      for (int n = 0; n < kOwn; n++)
        if (n0 + n < N) g.dinitial[state + n] = grad[n];
    }
  }
  // dD and dbias are spread over the lanes that have the same channels.
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
#pragma unroll
    for (int step = kPacks; step < 32; step <<= 1) {
      dD[v] += __shfl_xor_sync(kAllLanes, dD[v], step);
      dbias[v] += __shfl_xor_sync(kAllLanes, dbias[v], step);
    }
  float* out = g.params + (i64)blockIdx.y * s.channels * (N + 2);
  if (inside) {
#pragma unroll
    for (int n = 0; n < kOwn; n++)
      // With A = -exp(A_log) the derivative of A by A_log is A itself.
      if (n0 + n < N) out[c * N + n0 + n] = A_LOG ? dA[n] * rate[n] * kLn2 : dA[n];
  }
#pragma unroll
  for (int v = 0; v < VECTOR; v++)
    if (own_row == 0 && first_channel + v < s.channels)
      out[N * s.channels + first_channel + v] = dD[v], out[(N + 1) * s.channels + first_channel + v] = dbias[v];
}
#endif
