// The backward pass of the selective scan for bfloat16 and 16 states. Beside scan.cu's, the tensor cores do all that
// mixes states or channels here, and hand over what lanes need of one another: little goes through shared memory.
//
// A warp owns 16 channels. Its lane 4 g + t has of the channels 2g and 2g + 1 the states 4t to 4t + 3, and everything
// that is not of a state of the steps 2t and 2t + 1 of a segment. A state of it lies at [p][2 j + e]: state 4t + 2p + e
// of channel 2g + j. That is a tile's result in the tensor cores, with the channels in rows g + 8j, for each p. In
// terms of what lanes hold, the products are:
// - h += x B and grad += dy C, with the depth as steps: a lane's x = dt u is of step 2t + i, and meets B only in the
//   step whose turn it is. x is two bfloat16 numbers, whose sum has 16 bits.
// - y = C h and dx = B grad, with the states as depth, in bfloat16. The columns of the result are the steps of the
//   segment. C and B are zero but in the column of the step whose turn it is, so that products add up all steps.
// - dC = sum over channels of dy h, dB that of x grad, with the channels as depth: h has channels in rows, and a
//   product sums over columns, so a product with the identity exchanges rows and columns first. The columns of the
//   result are steps again, and dy and x are zero but in one of them.
// - ddt is summed over the four lanes of a channel by a product with ones in the column of the step.
// So results of all steps add up in the tensor cores' sums, and nothing waits for a product before the segment ends.
// For a sum over states or channels what is summed is rounded to bfloat16, and for ddt to TF32: of sums their type
// keeps no more. States themselves, and the gradients that go from step to step, are float32.
//
// The factors exp(dt A) of a segment's last steps, which the way back needs first, stay in registers; the others are
// computed again.
//
// Defined by the caller: what scan.cu is given for its backward pass but for VECTOR, which is 2, and N, which is 16.
#include "pairs.cuh"
#include "scan.cuh"
#include "scan_steps.cuh"

static_assert(N == kTileStates && SCALAR == MAMBA_PRUNE_BFLOAT16, "tiles have 16 states, and B and C are bfloat16");

constexpr int kWarps = BACKWARD_THREADS / 32;
constexpr int kWarpChannels = 16;
constexpr int kBlockChannels = kWarps * kWarpChannels;
constexpr int kKeptFactors = 4;  // the steps, at a segment's end, whose factors are kept
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
// d += a b in bfloat16.
__device__ __forceinline__ void add_product(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
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
// Rows and columns of two tiles of 8 x 8 exchanged: the product of the identity with them, whose result in float16 has
// two numbers in a register as a left operand has. It is exact for all patterns of 16 bits that are a finite number in
// float16, and so for bfloat16 below 2^121.
__device__ __forceinline__ void exchange(u32& d0, u32& d1, const u32 (&identity)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%8,%8};"
      : "=r"(d0), "=r"(d1)
      : "r"(identity[0]), "r"(identity[1]), "r"(identity[2]), "r"(identity[3]), "r"(b0), "r"(b1), "r"(0));
}
// x as two bfloat16 whose sum has 16 bits of it.
__device__ __forceinline__ u32 parts_of(float x) {
  const float upper = __uint_as_float(__float_as_uint(x) & 0xffff0000u);
  return pair(upper, x - upper);
}
__device__ __forceinline__ void put_two(float* to, float first, float second) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}
__device__ __forceinline__ uint2 two_of(const u32* from) { return *reinterpret_cast<const uint2*>(from); }
__device__ __forceinline__ float2 two_of(const float* from) { return *reinterpret_cast<const float2*>(from); }
__device__ __forceinline__ void put_four(float* to, const float (&from)[4]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ __forceinline__ void get_four(float (&to)[4], const float* from) {
  const float4 v = *reinterpret_cast<const float4*>(from);
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
// 16 bytes into shared memory, zeros where there is nothing to copy.
__device__ __forceinline__ void copy_piece(void* to, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
               "r"(there ? 16 : 0));
}
__device__ __forceinline__ void copy_four(void* to, const void* from, bool there) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((u32)__cvta_generic_to_shared(to)), "l"(from),
               "r"(there ? 4 : 0));
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
  using Memory = BackwardTilesShared<BACKWARD_THREADS>;
  auto& memory = *reinterpret_cast<Memory*>(shared);
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
      rate[n / 2][2 * j + n % 2] = decay_rate(s, c[j], 4 * t + n);
      dA[n / 2][2 * j + n % 2] = 0.0f;
    }
  }
  // The identity as a left operand: of rows g and g + 8 the columns 2t, 2t + 1, and 8 more. Its zeros are told, too: a
  // product's left operand is four neighbouring registers, which constants would be copied to for every product.
  const u32 one = g >> 1 == t ? (g & 1 ? 0x3c000000u : 0x3c00u) : 0u;
  // Zeros that the compiler knows nothing of, nor that they are the same in all lanes.
  const u32 zeros[3] = {(u32)(s.length + lane >> 31), (u32)(s.batch + lane >> 31), (u32)(s.channels + lane >> 31)};
  const u32 identity[4] = {__shfl_sync(kAllLanes, one, lane), __shfl_sync(kAllLanes, zeros[0], lane),
                           __shfl_sync(kAllLanes, zeros[1], lane), __shfl_sync(kAllLanes, one | zeros[2], lane)};
  const u32 outer_bytes = g & 1 ? 0x3232 : 0x1010;  // of two states in a register that of column g, twice

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
    const auto at = [&](int p, int r) { return ((i64)batch * s.channels + c[r / 2]) * N + 4 * t + 2 * p + r % 2; };
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
        copy_piece(&rows.inputs[2 * k][0][0] + 8 * lane, on(read_from[k], r * read_rows[k]), segment >= 0 && reads[k]);
      checkpoint -= s.channels * N;
      copy_piece(&rows.states[0][0] + 8 * lane, checkpoint, segment > 0);
      const int step = segment * kSegment + bc_row;
      copy_four(&memory.bc[segment & 1][bc_row][bc_pair], on(bcs, row(step) * bc_stride),
                segment >= 0 && (WHOLE_SEGMENTS || step < s.length));
    };
    // Neighbouring results of a thread, over the warps of the block.
    const int last = segments * kSegment + bc_row;
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
      if (WHOLE_SEGMENTS ? of < segments : step < s.length) *reinterpret_cast<float2*>(sums_to) = sum;
      sums_to += (REVERSE ? kSegment : -kSegment) * (2 * kTileStates);
    };
    copies_wait();
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
          dt[j] = live(2 * t + i) ? tile_step_size(delta.get(j), bias[j]) : 0.0f;
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
        for (int n = 0; n < 4; n++) h[n / 2][2 * j + n % 2] = saved[n];
      }
      if (segment == 0) {
#pragma unroll
        for (int p = 0; p < 2; p++)
#pragma unroll
          for (int r = 0; r < 4; r++) h[p][r] = s.initial && inside[r / 2] ? s.initial[at(p, r)] : 0.0f;
      }
      // One barrier a segment: B and C, and sums, lie in two places by turns.
      __syncthreads();
      read(segment - 1);
      write_sums(segment + 1);

      // Of its steps 2t and 2t + 1: [channel and step], and of B and C [p and step].
      float y[4] = {}, dx[4] = {}, ddt[4] = {}, dB[4] = {}, dC[4] = {};
      const auto outer_of = [&](u32(&to)[2][2], int from) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const uint2 four = two_of(&bc[2 * t + i][from + (g & ~1)]);
          to[i][0] = __byte_perm(four.x, 0, outer_bytes), to[i][1] = __byte_perm(four.y, 0, outer_bytes);
        }
      };
      // Of step g the states 4t to 4t + 3, as they lie in Rounded.
      const auto inner_of = [&](int from) { return two_of(&bc[g][from + 2 * t]); };
      // Of step g four channels: those that rows g have first.
      const auto channels_of = [&](const float (&row)[Memory::kStepRow]) {
        float four[4];
        get_four(four, &row[4 * t]);
        return make_uint2(pair(four[0], four[2]), pair(four[1], four[3]));
      };
      const auto sum_states = [&](float (&to)[4], const Rounded& of, const uint2& by, int k) {
        const bool in_column = g == k;
        add_product(to, of.v[0][0], of.v[0][1], of.v[1][0], of.v[1][1], in_column ? by.x : 0, in_column ? by.y : 0);
      };
      const auto sum_channels = [&](float (&to)[4], const Rounded& of, const uint2& by, int k) {
        const bool in_column = g == k;
        u32 across[4];
        exchange(across[0], across[1], identity, of.v[0][0], of.v[1][0]);
        exchange(across[2], across[3], identity, of.v[0][1], of.v[1][1]);
        add_product(to, across[0], across[1], across[2], across[3], in_column ? by.x : 0, in_column ? by.y : 0);
      };
      auto& sums = memory.sums[segment & 1][warp];
      const int column = 4 * (g >> 1) + (g & 1);  // of a tile as a state, with p = 0
      const auto keep_sums = [&](int from, const float (&of)[4]) {
#pragma unroll
        for (int r = 0; r < 4; r++) sums[2 * t + r % 2][from + column + r / 2 * 2] = of[r];
      };

      // Forward through the segment, keeping the state before each step, and its factors.
      float factors[kSegment][2][4];
      u32 outer[2][2];
      outer_of(outer, 0);
      const uint2 C = inner_of(kTileStates / 2), dy_of = channels_of(steps[g].dy);
#pragma unroll
      for (int k = 0; k < kSegment; k++) {
        auto& step = steps[k];
        const float2 dt = two_of(&step.dt[2 * g]);
        const bool mine = t == k / 2;
#pragma unroll
        for (int p = 0; p < 2; p++) {
          put_four(step.states[p][lane], h[p]);
#pragma unroll
          for (int r = 0; r < 4; r++) factors[k][p][r] = ex2((r < 2 ? dt.x : dt.y) * rate[p][r]);
#pragma unroll
          for (int r = 0; r < 4; r++) h[p][r] *= factors[k][p][r];
          add_outer(h[p], x_parts[k % 2], mine ? outer[k % 2][p] : 0);
        }
        const Rounded rounded(h);
        sum_states(y, rounded, C, k), sum_channels(dC, rounded, dy_of, k);
      }
      keep_sums(kTileStates, dC);

      // And back.
      outer_of(outer, kTileStates / 2);
      const uint2 B = inner_of(0), x_of = channels_of(steps[g].x);
      float parts[4];  // of ddt, [step][channel]
#pragma unroll
      for (int k = kSegment - 1; k >= 0; k--) {
        const auto& step = steps[k];
        const bool mine = t == k / 2;
#pragma unroll
        for (int p = 0; p < 2; p++) add_outer(grad[p], dy_parts[k % 2], mine ? outer[k % 2][p] : 0);
        const Rounded rounded(grad);
        sum_states(dx, rounded, B, k), sum_channels(dB, rounded, x_of, k);
        const float2 dt = two_of(&step.dt[2 * g]);
        float part[2] = {0.0f, 0.0f};
#pragma unroll
        for (int p = 0; p < 2; p++) {
          float before[4];
          get_four(before, step.states[p][lane]);
#pragma unroll
          for (int r = 0; r < 4; r++) {
            const float dt_of = r < 2 ? dt.x : dt.y;
            grad[p][r] *= k >= kSegment - kKeptFactors ? factors[k][p][r] : ex2(dt_of * rate[p][r]);
            const float q = grad[p][r] * before[r];
            dA[p][r] += q * dt_of;
            part[r / 2] += q * rate[p][r];
          }
        }
        parts[k % 2 * 2] = part[0], parts[k % 2 * 2 + 1] = part[1];
        if (k % 2 == 0) add_inner(ddt, parts, g == k ? 1.0f : 0.0f, g == k + 1 ? 1.0f : 0.0f);
      }
      keep_sums(0, dB);
      auto& results = *reinterpret_cast<u32(*)[3][kSegment][8]>(&steps[0].states);
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float2 dt2 = two_of(&steps[2 * t + i].dt[2 * g]), dy2 = two_of(&steps[2 * t + i].dy[2 * g]);
        float du[2], ddelta[2], dz[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
          const float dt = j ? dt2.y : dt2.x, dy = j ? dy2.y : dy2.x, u = own_u[i].get(j);
          // The derivative of softplus is sigmoid = 1 - exp(-softplus), and dt = 0 behind the end.
          const float slope = SOFTPLUS ? 1.0f - ex2(-kLog2e * dt) : 1.0f;
          ddelta[j] = (ddt[2 * j + i] * kLn2 + dx[2 * j + i] * u) * slope;
          du[j] = dx[2 * j + i] * dt + dy * skip[j];
          dD[j] += dy * u;
          if (HAS_Z) dz[j] = gate_of[i][j] * (y[2 * j + i] + skip[j] * u);
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
      const int p = n / 2, r = 2 * j + n % 2;
      // With A = -exp(A_log) the derivative of A by A_log is A itself.
      out[c[j] * N + 4 * t + n] = A_LOG ? dA[p][r] * rate[p][r] * kLn2 : dA[p][r];
    }
    if (t == 0) out[N * s.channels + channel + j] = dD[j], out[(N + 1) * s.channels + channel + j] = dbias[j];
  }
}
