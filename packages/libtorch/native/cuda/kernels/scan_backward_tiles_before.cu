// The backward pass of the selective scan for bfloat16 and 16 states. Beside scan.cu's, the tensor cores do all that
// mixes states or channels here, and hand over what lanes need of one another: little goes through shared memory.
//
// A warp owns 16 channels. Its lane 4 g + t has of the channels 2g and 2g + 1 the states 4t to 4t + 3, and everything
// that is not of a state of the steps 2t and 2t + 1 of a segment. A state of it lies at [p][2 j + e]: state 4t + 2e + p
// of channel 2g + j. That is a tile's result in the tensor cores, with the channels in rows g + 8j, for each p. In
// terms of what lanes hold, the products are:
// - h += x B and grad += dy C, with the depth as steps: a lane's x = dt u is of step 2t + i, and meets B only in the
//   step whose turn it is. x is two bfloat16 numbers, whose sum has 16 bits.
// - y = C h and dx = B grad, with the states as depth, in bfloat16. The columns of the result are all steps of the
//   segment; only that of the step whose turn it is means something, and the lanes with it keep it.
// - dC = sum over channels of dy h, dB that of x grad: h has channels in rows, and a product sums over columns. So a
//   product with the identity exchanges rows and columns first. What it leaves is the left operand of the next one, in
//   which rows g have other channels than rows g + 8; the columns are steps for the former or for the latter.
// - ddt is summed over the four lanes of a channel by a product with ones.
// For a sum over states or channels h and grad are rounded to bfloat16, and all else is TF32: of sums their type keeps
// no more. States themselves, and the gradients that go from step to step, are float32.
//
// Defined by the caller: what scan.cu is given for its backward pass but for VECTOR, which is 2, and N, which is 16.
#include "pairs.cuh"
#include "scan.cuh"

static_assert(N == kTileStates && SCALAR == MAMBA_PRUNE_BFLOAT16, "tiles have 16 states, and B and C are bfloat16");

constexpr int kWarps = BACKWARD_THREADS / 32;
constexpr int kWarpChannels = 16;
constexpr int kBlockChannels = kWarps * kWarpChannels;
static_assert(BACKWARD_THREADS == kSegment * kTileStates, "a thread has two numbers of a segment's B and C");

// d += a b, the depth as 4 steps of two numbers each: rows are channels, columns states.
__device__ __forceinline__ void add_outer(float (&d)[4], const u32 (&a)[2], u32 b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b));
}
// d += a b in TF32.
__device__ __forceinline__ void add_inner(float (&d)[4], const float (&a)[4], float b0, float b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}
// d = a b in bfloat16.
__device__ __forceinline__ void product(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%10,%10,%10};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "f"(0.0f));
}
// States of this lane as bfloat16: [p][j], those with e = 0 and 1.
struct Rounded {
  u32 v[2][2];
  __device__ __forceinline__ explicit Rounded(const float (&h)[2][4]) {
#pragma unroll
    for (int p = 0; p < 2; p++)
#pragma unroll
      for (int j = 0; j < 2; j++) v[p][j] = pair(h[p][2 * j], h[p][2 * j + 1]);
  }
};
// x as two bfloat16 whose sum has 16 bits of it.
__device__ __forceinline__ u32 parts_of(float x) {
  const float upper = __uint_as_float(__float_as_uint(x) & 0xffff0000u);
  return pair(upper, x - upper);
}
__device__ __forceinline__ void put_two(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}
__device__ __forceinline__ float2 two_of(const float* from) { return *reinterpret_cast<const float2*>(from); }
// 16 bytes into shared memory, zeros where there is nothing to copy.
__device__ __forceinline__ void copy_piece(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void copy_four(void* to, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
               "r"(there ? 4 : 0)
               : "memory");
}
// Until this thread's copies are there.
__device__ __forceinline__ void copies_wait() { asm volatile("cp.async.wait_all;" ::: "memory"); }
// The same pointer, kept in registers: what comes of a shuffle is not computed anew where it is needed.
template <class T> __device__ __forceinline__ T* told(T* p) {
  const u64 bits = reinterpret_cast<u64>(p);
  const int lane = threadIdx.x & 31;
  const u32 low = __shfl_sync(kAllLanes, (u32)bits, lane), high = __shfl_sync(kAllLanes, (u32)(bits >> 32), lane);
  return reinterpret_cast<T*>((u64)high << 32 | low);
}
template <class T> __device__ __forceinline__ T* on(T* from, u32 bytes) { return (T*)((const char*)from + bytes); }

extern "C" __global__ void __launch_bounds__(BACKWARD_THREADS, BACKWARD_BLOCKS)
    scan_backward_tiles(const Args s, const Grads grads) {
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<BackwardTilesSharedBefore<BACKWARD_THREADS>*>(shared);
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, g = lane >> 2, t = lane & 3;
  auto& steps = memory.steps[warp];
  auto& rows = memory.rows[warp];
  const int channel = blockIdx.x * kBlockChannels + warp * kWarpChannels + 2 * g;  // the first of two
  const bool inside[2] = {channel < s.channels, channel + 1 < s.channels};
  const int segments = (s.length + kSegment - 1) / kSegment;
  const int c[2] = {min(channel, s.channels - 1), min(channel + 1, s.channels - 1)};
  float rate[2][4], dA[2][4], skip[2], bias[2], dD[2], dbias[2];
#pragma unroll
  for (int j = 0; j < 2; j++) {
    skip[j] = HAS_D ? s.D[c[j]] : 0.0f, bias[j] = HAS_BIAS ? s.bias[c[j]] : 0.0f;
    dD[j] = 0.0f, dbias[j] = 0.0f;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      rate[n % 2][2 * j + n / 2] = decay_rate(s, c[j], 4 * t + n);
      dA[n % 2][2 * j + n / 2] = 0.0f;
    }
  }
  // The identity as a left operand: of rows g and g + 8 the columns 2t, 2t + 1, and 8 more. Its zeros are told, too: a
  // product's left operand is four neighbouring registers, which constants would be copied to for every product.
  const u32 one = g >> 1 == t ? (g & 1 ? 0x3f800000u : 0x3f80u) : 0u;
  // Zeros that the compiler knows nothing of, nor that they are the same in all lanes.
  const u32 zeros[3] = {(u32)(s.length + lane >> 31), (u32)(s.batch + lane >> 31), (u32)(s.channels + lane >> 31)};
  const u32 identity[4] = {__shfl_sync(kAllLanes, one, lane), __shfl_sync(kAllLanes, zeros[0], lane),
                           __shfl_sync(kAllLanes, zeros[1], lane), __shfl_sync(kAllLanes, one | zeros[2], lane)};
  const float even = __shfl_sync(kAllLanes, g & 1 ? 0.0f : 1.0f, lane), odd = 1.0f - even;

  // Bytes from a step to the next. With one stride for all the compiler computes one offset for all.
  constexpr u32 kSize = sizeof(scalar);
  const u32 u_row = s.u_row * kSize, delta_row = SAME_ROWS ? u_row : s.delta_row * kSize;
  const u32 dy_row = SAME_ROWS ? u_row : grads.dy_row * kSize, du_row = SAME_ROWS ? u_row : grads.du_row * kSize;
  const u32 ddelta_row = SAME_ROWS ? u_row : grads.ddelta_row * kSize;
  const u32 z_row = s.z_row * kSize, dz_row = SAME_ROWS ? z_row : grads.dz_row * kSize;
  // Of B and C a thread has two neighbouring numbers of a step.
  const int bc_row = tid / kTileStates, bc_pair = tid % kTileStates;
  const bool of_c = bc_pair >= kTileStates / 2;
  const u32 bc_stride = (of_c ? s.c_row : s.b_row) * kSize;

  // A lane copies a piece, 8 channels of a row, of u or delta, and one of z or dy; and one of a checkpoint. Of the same
  // rows and channels it writes du or ddelta, and dz.
  const int half = lane % 2, piece_step = lane / 2 % 4 * 2 + lane / 8 % 2, of_warp = channel - 2 * g;
  const int piece_channel = of_warp + half * 8,
            saved_channel = min(of_warp + lane / 2 % 8 * 2 + lane / 16, s.channels - 1);
  const bool upper = lane >= 16, piece_there = piece_channel < s.width;
  const bool reads[2] = {piece_there, piece_there && (HAS_Z || upper)};
  const bool writes[2] = {piece_there, piece_there && HAS_Z && !upper};
  const u32 read_rows[2] = {upper ? delta_row : u_row, upper ? dy_row : z_row};
  const u32 write_rows[2] = {upper ? ddelta_row : du_row, dz_row};

  const int batch_end = min(s.batch, (int)(blockIdx.y + 1) * grads.batches_per_block);
  for (int batch = blockIdx.y * grads.batches_per_block; batch < batch_end; batch++) {
    // Channels that are not there have no gradient of y, and all that follows from it is zero.
    const float scale_there = s.scale ? s.scale[batch] : 1.0f;
    const float scale[2] = {inside[0] ? scale_there : 0.0f, inside[1] ? scale_there : 0.0f};
    // Where the sequence lies.
    const i64 begin = (i64)batch * s.length;
    const auto of_piece = [&](u32 row) { return begin * (row / kSize) + piece_channel; };
    const scalar* const read_from[2] = {told((upper ? s.delta : s.u) + of_piece(read_rows[0])),
                                        told((upper || !HAS_Z ? grads.dy : s.z) + of_piece(read_rows[1]))};
    scalar* const write_to[2] = {told((upper ? grads.ddelta : grads.du) + of_piece(write_rows[0])),
                                 told((HAS_Z ? grads.dz : grads.du) + of_piece(write_rows[1]))};
    const scalar* const bcs =
        told((of_c ? s.C + begin * s.c_row : s.B + begin * s.b_row) + bc_pair % (kTileStates / 2) * 2);
    float* const dbcs = grads.dbc + ((i64)blockIdx.x * s.batch * s.length + begin) * (2 * kTileStates) + 2 * bc_pair;
    // The row of a step in it; behind the end it is that of the last one.
    const auto row = [&](int step) {
      const int there = WHOLE_SEGMENTS ? step : min(step, s.length - 1);
      return (u32)(COLUMNS ? place(s, there) : REVERSE ? s.length - 1 - there : there);
    };
    // Where a state of the sequence lies.
    const auto at = [&](int p, int r) { return ((i64)batch * s.channels + c[r / 2]) * N + 4 * t + r % 2 * 2 + p; };
    float grad[2][4] = {};  // of the state after the step at hand
    if (grads.dlast) {
#pragma unroll
      for (int p = 0; p < 2; p++)
#pragma unroll
        for (int r = 0; r < 4; r++)
          if (inside[r / 2]) grad[p][r] = grads.dlast[at(p, r)];
    }

    // What a segment reads is on its way while the one before is worked on.
    const scalar* checkpoint = static_cast<const scalar*>(s.checkpoints) +
                               (((i64)batch * (segments - 1) + segments - 1) * s.channels + saved_channel) * N +
                               8 * half;
    const auto read = [&](int segment) {
      const u32 r = row(segment * kSegment + piece_step);
#pragma unroll
      for (int k = 0; k < 2; k++)
        copy_piece(&rows.inputs[2 * k][0][0] + 8 * lane, on(read_from[k], r * read_rows[k]), reads[k]);
      checkpoint -= s.channels * N;
      if (segment > 0) copy_piece(&rows.states[0][0] + 8 * lane, checkpoint, true);
      const int step = segment * kSegment + bc_row;
      copy_four(&memory.bc[segment & 1][bc_row][bc_pair], on(bcs, row(step) * bc_stride),
                WHOLE_SEGMENTS || step < s.length);
    };
    // Neighbouring results of a thread, over the warps of the block.
    const int last = (segments - 1) * kSegment + bc_row;
    float* sums_to = dbcs + (i64)(REVERSE ? s.length - 1 - last : last) * (2 * kTileStates);
    const auto write_sums = [&](int of) {
      float2 sum = two_of(&memory.sums[of & 1][0][bc_row][2 * bc_pair]);
#pragma unroll
      for (int w = 1; w < kWarps; w++) {
        const float2 part = two_of(&memory.sums[of & 1][w][bc_row][2 * bc_pair]);
        sum.x += part.x, sum.y += part.y;
      }
      const int step = of * kSegment + bc_row;
      if (COLUMNS) sums_to = dbcs + row(step) * (2u * kTileStates);
      if (WHOLE_SEGMENTS || step < s.length) *reinterpret_cast<float2*>(sums_to) = sum;
      sums_to += (REVERSE ? kSegment : -kSegment) * (2 * kTileStates);
    };
    read(segments - 1);

#pragma unroll 1
    for (int segment = segments - 1; segment >= 0; segment--) {
      const int live_steps = WHOLE_SEGMENTS ? kSegment : min(kSegment, s.length - segment * kSegment);
      const auto live = [&](int step) { return WHOLE_SEGMENTS || step < live_steps; };
      copies_wait();
      __syncwarp();
      const auto& bc = memory.bc[segment & 1];
      Raw<2> own_u[2];
      float gate_of[2][2];  // the gradient of z is so many times y
      u32 x_parts[2][2], dy_parts[2][2];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const auto raw = [&](int k) { return *reinterpret_cast<const Raw<2>*>(&rows.inputs[k][4 * i + t][2 * g]); };
        own_u[i] = raw(0);
        const Raw<2> delta = raw(1), zs = raw(2), dys = raw(3);
        float dt[2], x[2], dy[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          dt[j] = live(2 * t + i) ? step_size(delta.get(j), bias[j]) : 0.0f;
          x[j] = dt[j] * own_u[i].get(j);
          dy[j] = live(2 * t + i) ? dys.get(j) * scale[j] : 0.0f;
          if (HAS_Z) {
            const float z = zs.get(j), gate = sigmoid(z), gated = dy[j] * gate;
            gate_of[i][j] = gated * (1.0f + z * (1.0f - gate)), dy[j] = gated * z;
          }
          x_parts[i][j] = parts_of(x[j]), dy_parts[i][j] = parts_of(dy[j]);
        }
        auto& to = steps[2 * t + i];
        put_two(&to.dt[2 * g], dt[0], dt[1]), put_two(&to.x[2 * g], x[0], x[1]), put_two(&to.dy[2 * g], dy[0], dy[1]);
      }
      float h[2][4];
#pragma unroll
      for (int j = 0; j < 2; j++) {
        float saved[4];
        restore_states(saved, *reinterpret_cast<const Saved*>(&rows.states[8 * j + g][4 * t]));
#pragma unroll
        for (int n = 0; n < 4; n++) h[n % 2][2 * j + n / 2] = saved[n];
      }
      if (segment == 0) {
#pragma unroll
        for (int p = 0; p < 2; p++)
#pragma unroll
          for (int r = 0; r < 4; r++) h[p][r] = s.initial && inside[r / 2] ? s.initial[at(p, r)] : 0.0f;
      }
      // One barrier a segment: B and C, and sums, lie in two places by turns.
      __syncthreads();
      if (segment > 0) read(segment - 1);
      if (segment + 1 < segments) write_sums(segment + 1);

      // Forward through the segment, keeping the state before each step.
      const auto outer_of = [&](u32(&to)[2][2], int from) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const u32 two = bc[2 * t + i][from + g];
          to[i][0] = __byte_perm(two, 0, 0x1010), to[i][1] = __byte_perm(two, 0, 0x3232);
        }
      };
      u32 outer[2][2];
      outer_of(outer, 0);
      auto* of_steps = &steps[0];
#pragma unroll 4
      for (int k = 0; k < kSegment / 2; k++, of_steps += 2) {
        const bool mine = t == k;
#pragma unroll
        for (int i = 0; i < 2; i++) {
          auto& step = of_steps[i];
          const float2 dt = two_of(&step.dt[2 * g]);
#pragma unroll
          for (int p = 0; p < 2; p++) {
            *reinterpret_cast<float4*>(step.states[p][lane]) = make_float4(h[p][0], h[p][1], h[p][2], h[p][3]);
#pragma unroll
            for (int r = 0; r < 4; r++) h[p][r] *= ex2((r < 2 ? dt.x : dt.y) * rate[p][r]);
            add_outer(h[p], x_parts[i], mine ? outer[i][p] : 0);
          }
        }
      }

      // And back.
      outer_of(outer, kTileStates / 2);
      // Of step g the states 4t to 4t + 3, as they lie in Rounded.
      const auto inner_of = [&](int from) {
        const uint2 four = *reinterpret_cast<const uint2*>(&bc[g][from + 2 * t]);
        return make_uint2(__byte_perm(four.x, four.y, 0x5410), __byte_perm(four.x, four.y, 0x7632));
      };
      const uint2 B = inner_of(0), C = inner_of(kTileStates / 2);
      // Of the steps 2 (g / 2) + i two channels: those that rows g have, or rows g + 8.
      float2 x_of[2], dy_of[2];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const auto& step = steps[(g & ~1) + i];
        x_of[i] = two_of(&step.x[4 * t + (g & 1) * 2]), dy_of[i] = two_of(&step.dy[4 * t + (g & 1) * 2]);
      }
      // Of its steps: [channel][step], and the gradients of B and C [p][step].
      float y[2][2] = {}, dx[2][2] = {}, ddt[2][2] = {}, dB[2][2] = {}, dC[2][2] = {};
      float parts[4];  // of ddt, [step][channel]
#pragma unroll 2
      for (int k = kSegment / 2 - 1; k >= 0; k--) {
        const bool mine = t == k;
        of_steps -= 2;
#pragma unroll
        for (int i = 1; i >= 0; i--) {
          const auto& step = of_steps[i];
          const auto sum_states = [&](float (&to)[2][2], const Rounded& of, const uint2& by) {
            float d[4];
            product(d, of.v[0][0], of.v[0][1], of.v[1][0], of.v[1][1], by.x, by.y);
            if (mine) to[0][i] = d[i], to[1][i] = d[2 + i];
          };
          const auto sum_channels = [&](float (&to)[2][2], const Rounded& of, const float2& by) {
#pragma unroll
            for (int p = 0; p < 2; p++) {
              float d[4] = {}, across[4];
              product(across, identity[0], identity[1], identity[2], identity[3], of.v[p][0], of.v[p][1]);
              add_inner(d, across, by.x, by.y);
              if (mine) to[p][i] = d[0] + d[3];
            }
          };
          {
            const Rounded rounded(h);
            sum_states(y, rounded, C), sum_channels(dC, rounded, dy_of[i]);
          }
#pragma unroll
          for (int p = 0; p < 2; p++) add_outer(grad[p], dy_parts[i], mine ? outer[i][p] : 0);
          {
            const Rounded rounded(grad);
            sum_states(dx, rounded, B), sum_channels(dB, rounded, x_of[i]);
          }
          const float2 dt = two_of(&step.dt[2 * g]);
          float part[2] = {0.0f, 0.0f};
#pragma unroll
          for (int p = 0; p < 2; p++) {
            const float4 before = *reinterpret_cast<const float4*>(step.states[p][lane]);
            h[p][0] = before.x, h[p][1] = before.y, h[p][2] = before.z, h[p][3] = before.w;
#pragma unroll
            for (int r = 0; r < 4; r++) {
              const float dt_of = r < 2 ? dt.x : dt.y;
              grad[p][r] *= ex2(dt_of * rate[p][r]);
              const float q = grad[p][r] * h[p][r];
              dA[p][r] += q * dt_of;
              part[r / 2] += q * rate[p][r];
            }
          }
          parts[2 * i] = part[0], parts[2 * i + 1] = part[1];
          if (i == 0) {
            float d[4] = {};
            add_inner(d, parts, even, odd);
#pragma unroll
            for (int n = 0; n < 4; n++)
              if (mine) ddt[n / 2][n % 2] = d[n];
          }
        }
      }
      auto& results = *reinterpret_cast<u32(*)[3][kSegment][8]>(&steps[0].states);
      __syncwarp();
      // Sums over this warp's channels. They are added up behind the next barrier.
      auto& sums = memory.sums[segment & 1][warp];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        put_two(&sums[2 * t + i][2 * g], dB[0][i], dB[1][i]);
        put_two(&sums[2 * t + i][kTileStates + 2 * g], dC[0][i], dC[1][i]);
      }
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float2 dt2 = two_of(&steps[2 * t + i].dt[2 * g]), dy2 = two_of(&steps[2 * t + i].dy[2 * g]);
        float du[2], ddelta[2], dz[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          const float dt = j ? dt2.y : dt2.x, dy = j ? dy2.y : dy2.x, u = own_u[i].get(j);
          // The derivative of softplus is sigmoid = 1 - exp(-softplus), and dt = 0 behind the end.
          const float slope = SOFTPLUS ? 1.0f - ex2(-kLog2e * dt) : 1.0f;
          ddelta[j] = (ddt[j][i] * kLn2 + dx[j][i] * u) * slope;
          du[j] = dx[j][i] * dt + dy * skip[j];
          dD[j] += dy * u;
          if (HAS_Z) dz[j] = gate_of[i][j] * (y[j][i] + skip[j] * u);
          if (live(2 * t + i)) dbias[j] += ddelta[j];
        }
        const auto add_what_is_there = [&](float (&to)[2], const scalar* all, u32 stride) {
          if (channel >= s.width || !live(2 * t + i)) return;
          const scalar* from = all + begin * (stride / kSize) + channel;
          const Raw<2> there = *reinterpret_cast<const Raw<2>*>(on(from, row(segment * kSegment + 2 * t + i) * stride));
          to[0] += there.get(0), to[1] += there.get(1);
        };
        if (ADD_DU) add_what_is_there(du, grads.du, du_row);
        if (HAS_Z && ADD_DZ) add_what_is_there(dz, grads.dz, dz_row);
        // Where this warp's states were.
        const auto put = [&](int k, const float (&values)[2]) {
          results[k][4 * i + t][g] = pair(values[0], values[1]);
        };
        put(0, du), put(1, ddelta);
        if (HAS_Z) put(2, dz);
      }
      __syncwarp();
      const u32 r = row(segment * kSegment + piece_step);
#pragma unroll
      for (int k = 0; k < 2; k++) {
        if (!writes[k] || !live(piece_step)) continue;
        *reinterpret_cast<uint4*>(on(write_to[k], r * write_rows[k])) =
            *reinterpret_cast<const uint4*>(&results[2 * k][0][0] + 4 * lane);
      }
      __syncwarp();
    }
    __syncthreads();
    write_sums(0);
    if (grads.dinitial) {
#pragma unroll
      for (int p = 0; p < 2; p++)
#pragma unroll
        for (int r = 0; r < 4; r++)
          if (inside[r / 2]) grads.dinitial[at(p, r)] = grad[p][r];
    }
  }
  // dD and dbias are spread over the lanes that have the same channels.
  float* out = grads.params + (i64)blockIdx.y * s.channels * (N + 2);
#pragma unroll
  for (int j = 0; j < 2; j++) {
#pragma unroll
    for (int away = 1; away < 4; away <<= 1) {
      dD[j] += __shfl_xor_sync(kAllLanes, dD[j], away);
      dbias[j] += __shfl_xor_sync(kAllLanes, dbias[j], away);
    }
    if (!inside[j]) continue;
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const int p = n % 2, r = 2 * j + n / 2;
      // With A = -exp(A_log) the derivative of A by A_log is A itself.
      out[c[j] * N + 4 * t + n] = A_LOG ? dA[p][r] * rate[p][r] * kLn2 : dA[p][r];
    }
    if (t == 0) out[N * s.channels + channel + j] = dD[j], out[(N + 1) * s.channels + channel + j] = dbias[j];
  }
}
