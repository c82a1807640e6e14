// For inference on few images: all blocks of a vision Mamba in one launch. The multiprocessors of a cluster share an
// image. Each has a slice of the channels and of the neurons with the weights that belong to them, and keeps the
// residual stream of some tokens, in registers and in float32 from the first block to the last.
//
// Every product of a block reads what its own slice made, or all normalised tokens:
//   1. in_proj gives u and z of the slice's channels; convolution; x_proj's sum over them
//   2. its sums over the cluster, token by token, and all tokens to all
//   3. step sizes, scan and gate of the slice's channels; out_proj's sum over them
//   4. its sums over the cluster, residual, normalisation, and all tokens to all
//   5. fc1 and GELU of the slice's neurons; fc2's sum over them
//   6. as 4
// So six times a block something goes from each to each: partial sums to who keeps the tokens (`arrived`), and
// its rows back to all (`gathered`). Both are bulk copies that a barrier of the receiver counts; nobody waits for more
// than the bytes that it reads. A buffer is written again only by who has heard from its reader since, so there is no
// other barrier.
//
// The next block's weights of a branch come in while the other branch is computed.
//
// Defined by the caller: MODEL (a multiple of 16), LENGTH (tokens), CLUSTER (multiprocessors), GROUPS (of them, which
// share the tokens for the MLP), SCALAR of 16 bits.
#include "cluster_interface.h"
#include "cluster_ops.cuh"

using namespace mamba_prune::cuda::cluster_kernel;
using Args = ClusterArgs<scalar>;
typedef unsigned char byte;

constexpr int kWarps = kThreads / 32;
constexpr Plan kSizes = plan_of(LENGTH, MODEL, CLUSTER, GROUPS, 8, 16);  // only what does not depend on the slices
constexpr int kRows = kSizes.rows, kTiles = kRows / 16, kOwn = kSizes.own;
constexpr int kRow = row_bytes(MODEL);
constexpr int kGroup = CLUSTER / GROUPS;  // multiprocessors of a group
constexpr int kGroupTiles = GROUPS == 1 ? kTiles : kOwn * kGroup / 16;
static_assert(GROUPS == 1 || kOwn * CLUSTER == kRows && kOwn * kGroup % 16 == 0, "a group has whole tiles of tokens");
constexpr int kMine = (kOwn + kWarps - 1) / kWarps;  // tokens of a warp
// Tiles of a warp in the MLP's products: more rows read the weights less often.
constexpr int kMlpM = kGroupTiles > 1 ? 2 : 1, kMlpN = kGroupTiles > 2 ? 6 : 3;
constexpr int kPairs = (MODEL / 2 + 31) / 32;  // numbers of a token in a lane, by twos

enum { kGathered, kGroupGathered, kArrived, kSsmWeights, kMlpWeights, kBarriers };

template <class T> __device__ __forceinline__ T& in(byte* memory, int offset) {
  return *reinterpret_cast<T*>(memory + offset);
}

struct Cta {
  byte* memory;
  u64* barriers;
  Plan plan;
  u32 rank, gathered, arrived;  // the last two are the parities of what comes next
  int warp, lane;

  // Rows of all tokens; the next time so many bytes come.
  __device__ __forceinline__ void wait_gathered(u32 next) {
    barrier_wait(barriers + kGathered, gathered);
    gathered ^= 1;
    if (threadIdx.x == 0) barrier_expect(barriers + kGathered, next);
  }
  // Of the group's tokens, for the MLP of block i.
  __device__ __forceinline__ void wait_group_gathered(int i, u32 next) {
    barrier_wait(barriers + kGroupGathered, i & 1);
    if (threadIdx.x == 0) barrier_expect(barriers + kGroupGathered, next);
  }
  __device__ __forceinline__ void wait_arrived(u32 next) {
    barrier_wait(barriers + kArrived, arrived);
    arrived ^= 1;
    if (threadIdx.x == 0) barrier_expect(barriers + kArrived, next);
  }
  // Partial sums of the tokens of `Members` multiprocessors, in rows of so many bytes, to who keeps them.
  template <int Members> __device__ __forceinline__ void send_partial(int from, int row) {
    written_for_copies();
    __syncthreads();
    if (threadIdx.x < Members)
      copy_to_rank(rank / Members * Members + threadIdx.x, memory + plan.received + rank % Members * kOwn * row,
                   memory + from + threadIdx.x * kOwn * row, kOwn * row, barriers + kArrived);
  }
};

// `Tiles` times 16 rows of the left operand lie `stride` apart, in the order of row_of; the right one is `tiles` times
// `steps` fragments. store(row, column, two numbers). A warp takes M tiles of 16 rows times N of 8 columns at a time.
template <int Tiles, int M, int N, class RowOf, class Store>
__device__ __forceinline__ void product(const Cta& cta, const byte* left, int stride, RowOf row_of, int steps,
                                        const byte* right, int tiles, Store store) {
  constexpr int kParts = (Tiles + M - 1) / M;
  const int tasks = kParts * ((tiles + N - 1) / N), lane = cta.lane;
  for (int task = cta.warp; task < tasks; task += kWarps) {
    const int m0 = task % kParts * M, n0 = task / kParts * N;
    const byte *a_from[M], *b_from[N];
#pragma unroll
    for (int m = 0; m < M; m++)
      a_from[m] = left + row_of(min(m0 + m, Tiles - 1) * 16 + lane % 16) * stride + lane / 16 * 16;
#pragma unroll
    for (int n = 0; n < N; n++) b_from[n] = right + min(n0 + n, tiles - 1) * steps * 256 + lane * 8;
    float sum[M][N][4];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[m][n][i] = 0.0f;
#pragma unroll 4
    for (int k = 0; k < steps; k++) {
      u32 a[M][4];
      uint2 b[N];
#pragma unroll
      for (int m = 0; m < M; m++) load_tile(a[m], a_from[m] + k * 32);
#pragma unroll
      for (int n = 0; n < N; n++) b[n] = *reinterpret_cast<const uint2*>(b_from[n] + k * 256);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++) multiply(sum[m][n], a[m], b[n]);
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++) {
        if (m0 + m >= Tiles || n0 + n >= tiles) continue;
        const int row = (m0 + m) * 16 + lane / 4, column = (n0 + n) * 8 + lane % 4 * 2;
        store(row, column, sum[m][n][0], sum[m][n][1]);
        store(row + 8, column, sum[m][n][2], sum[m][n][3]);
      }
  }
}

struct InOrder {
  __device__ __forceinline__ int operator()(int row) const { return row; }
};

// The tokens of a warp: number i of a lane is of columns 2 (lane + 32 i) and 1 on.
struct Stream {
  float x[kMine][kPairs][2];

  __device__ __forceinline__ void read(const Args& a, const Cta& cta, int image) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps, token = cta.rank * kOwn + own;
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const int column = 2 * (cta.lane + 32 * i);
        x[r][i][0] = x[r][i][1] = 0.0f;
        if (own >= kOwn || token >= LENGTH || column >= MODEL) continue;
        const u32 two = *reinterpret_cast<const u32*>(a.x + ((i64)image * LENGTH + token) * MODEL + column);
        x[r][i][0] = low_of(two), x[r][i][1] = high_of(two);
      }
    }
  }
  __device__ __forceinline__ void write(const Args& a, const Cta& cta, int image, const int* order) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps, token = cta.rank * kOwn + own;
      if (own >= kOwn || token >= LENGTH) continue;
      int place = 0;
      for (int p = cta.lane; p < LENGTH; p += 32)
        if (order[p] == token) place = p;
#pragma unroll
      for (int step = 16; step > 0; step >>= 1) place = max(place, __shfl_xor_sync(kAllLanes, place, step));
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const int column = 2 * (cta.lane + 32 * i);
        if (column < MODEL)
          *reinterpret_cast<u32*>(a.out + ((i64)image * LENGTH + place) * MODEL + column) =
              pair_of(x[r][i][0], x[r][i][1]);
      }
    }
  }
  // Adds what arrived from so many multiprocessors, and a bias.
  template <int Members> __device__ __forceinline__ void add(const Cta& cta, const float (&bias)[kPairs][2]) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps;
      if (own >= kOwn) continue;
      const byte* from = cta.memory + cta.plan.received + own * kRow + cta.lane * 4;
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if (2 * (cta.lane + 32 * i) >= MODEL) continue;
        float low = bias[i][0], high = bias[i][1];
#pragma unroll
        for (int source = 0; source < Members; source++) {
          const u32 two = *reinterpret_cast<const u32*>(from + source * kOwn * kRow + i * 128);
          low += low_of(two), high += high_of(two);
        }
        x[r][i][0] += low, x[r][i][1] += high;
      }
    }
  }
  // Normalised, to so many of the cluster; the normalisation's weight and bias are part of the product that follows.
  template <int Members> __device__ __forceinline__ void send_normalized(const Cta& cta, float eps, int barrier) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps;
      if (own >= kOwn) continue;
      float mean = 0.0f, squares = 0.0f;
#pragma unroll
      for (int i = 0; i < kPairs; i++) mean += x[r][i][0] + x[r][i][1];
      mean = warp_sum(mean) * (1.0f / MODEL);
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if (2 * (cta.lane + 32 * i) >= MODEL) continue;
        const float low = x[r][i][0] - mean, high = x[r][i][1] - mean;
        squares += low * low + high * high;
      }
      const float scale = rsqrtf(warp_sum(squares) * (1.0f / MODEL) + eps);
      byte* to = cta.memory + cta.plan.outgoing + own * kRow;
#pragma unroll
      for (int i = 0; i < kPairs; i++)
        if (2 * (cta.lane + 32 * i) < MODEL)
          *reinterpret_cast<u32*>(to + (cta.lane + 32 * i) * 4) =
              pair_of((x[r][i][0] - mean) * scale, (x[r][i][1] - mean) * scale);
      written_for_copies();
      __syncwarp();
      if (cta.lane < Members)
        copy_to_rank(cta.rank / Members * Members + cta.lane,
                     cta.memory + cta.plan.tokens + (cta.rank * kOwn + own) * kRow, to, MODEL * kBytes16,
                     cta.barriers + barrier);
    }
  }
};

__device__ __forceinline__ void convolve(const Cta& cta, const SsmPart& part, int channels, int gates_row, int u_row) {
  byte* memory = cta.memory;
  const float* weights = &in<float>(memory, cta.plan.ssm + part.taps);
  const float* biases = &in<float>(memory, cta.plan.ssm + part.conv_bias);
  const float* gates = &in<float>(memory, cta.plan.gates);
  constexpr int kRun = 4;  // tokens of a thread
  for (int item = threadIdx.x; item < kRows / kRun * channels; item += kThreads) {
    const int channel = item % channels, first = item / channels * kRun;
    float w[kTaps], x[kRun + kTaps - 1];
#pragma unroll
    for (int k = 0; k < kTaps; k++) w[k] = weights[k * channels + channel];
#pragma unroll
    for (int i = 0; i < kRun + kTaps - 1; i++) {
      const int token = first + i - (kTaps - 1);
      x[i] = token < 0 ? 0.0f : gates[token * gates_row + channel];
    }
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      float sum = biases[channel];
#pragma unroll
      for (int k = 0; k < kTaps; k++) sum += w[k] * x[i + k];
      in<scalar>(memory, cta.plan.u + (first + i) * u_row + channel * kBytes16) = down(sum * sigmoid(sum));
    }
  }
  // The products read 16 channels at a time.
  if (channels % 16 != 0)
    for (int row = threadIdx.x; row < kRows; row += kThreads)
      in<uint4>(memory, cta.plan.u + row * u_row + channels * kBytes16) = uint4{0, 0, 0, 0};
}

// dt and dt u of every channel and token, from the first columns of x_proj.
__device__ __forceinline__ void step_sizes(const Cta& cta, const SsmPart& part, int channels, int u_row) {
  byte* memory = cta.memory;
  const int lane = cta.lane, steps_row = kRows + 2;
  for (int task = cta.warp; task < kTiles * (channels / 8); task += kWarps) {
    const int row = task % kTiles * 16 + lane / 4, n = task / kTiles, column = n * 8 + lane % 4 * 2;
    u32 a[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 v =
          in<float2>(memory, cta.plan.projected + (row + i % 2 * 8) * kProjectedRow + (lane % 4 * 2 + i / 2 * 8) * 4);
      a[i] = pair_of(v.x, v.y);
    }
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply(sum, a, in<uint2>(memory, cta.plan.ssm + part.dt_proj + n * 256 + lane * 8));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int token = row + i / 2 * 8, channel = column + i % 2;
      const float dt = softplus(sum[i] + in<float>(memory, cta.plan.ssm + part.dt_bias + channel * 4));
      const float u = up(in<scalar>(memory, cta.plan.u + token * u_row + channel * kBytes16));
      in<float2>(memory, cta.plan.steps + (channel * steps_row + token) * 8) = float2{dt, dt * u};
    }
  }
}

// Of sums of 2 Width tokens each lane comes to have that of one, over 2 Width lanes.
template <int Width, int Count> __device__ __forceinline__ void sum_over_lanes(float (&sums)[Count], int lane) {
#pragma unroll
  for (int t = 0; t < Width; t++) {
    const bool upper = lane & Width;
    const float keep = upper ? sums[t + Width] : sums[t], give = upper ? sums[t] : sums[t + Width];
    sums[t] = keep + __shfl_xor_sync(kAllLanes, give, Width);
  }
  if constexpr (Width > 1) sum_over_lanes<Width / 2>(sums, lane);
}

// `Per` states of a channel in each of its lanes. y takes the place of u.
template <int Per>
__device__ __forceinline__ void scan(const Cta& cta, const SsmPart& part, int channels, int gates_row, int u_row) {
  constexpr int kLanes = kStates / Per;
  byte* memory = cta.memory;
  const int mine = threadIdx.x % kLanes, steps_row = kRows + 2;
  for (int channel = threadIdx.x / kLanes; channel < channels; channel += kThreads / kLanes) {
    float rate[Per], h[Per];
#pragma unroll
    for (int n = 0; n < Per; n++) {
      rate[n] = in<float>(memory, cta.plan.ssm + part.rate + (channel * kStates + mine * Per + n) * 4);
      h[n] = 0.0f;
    }
    const float skip = in<float>(memory, cta.plan.ssm + part.skip + channel * 4);
    const byte* B = memory + cta.plan.projected + (kRank + mine * Per) * 4;
    const float2* steps = &in<float2>(memory, cta.plan.steps) + channel * steps_row;
#pragma unroll 1
    for (int first = 0; first < kRows; first += kLanes) {
      float sums[kLanes];
#pragma unroll
      for (int t = 0; t < kLanes; t++) {
        const float2 step = steps[first + t];
        const float* b = reinterpret_cast<const float*>(B + (first + t) * kProjectedRow);
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < Per; n++) {
          h[n] = ex2(step.x * rate[n]) * h[n] + step.y * b[n];
          sum += h[n] * b[kStates + n];
        }
        sums[t] = sum;
      }
      sum_over_lanes<kLanes / 2>(sums, mine);
      const int token = first + mine;
      scalar& u = in<scalar>(memory, cta.plan.u + token * u_row + channel * kBytes16);
      const float z = in<float>(memory, cta.plan.gates + (token * gates_row + channels + channel) * 4);
      u = down((sums[0] + skip * up(u)) * z * sigmoid(z));
    }
  }
}

// x_proj's sums of the tokens that this multiprocessor keeps, to all.
__device__ __forceinline__ void send_projected(const Cta& cta) {
  byte* memory = cta.memory;
  for (int i = threadIdx.x; i < kOwn * kProjected; i += kThreads) {
    const int place = i / kProjected * kProjectedRow + i % kProjected * 4;
    float sum = 0.0f;
#pragma unroll
    for (int source = 0; source < CLUSTER; source++)
      sum += in<float>(memory, cta.plan.received + source * kOwn * kProjectedRow + place);
    in<float>(memory, cta.plan.sums + place) = sum;
  }
  written_for_copies();
  __syncthreads();
  if (threadIdx.x < CLUSTER)
    copy_to_rank(threadIdx.x, memory + cta.plan.projected + cta.rank * kOwn * kProjectedRow, memory + cta.plan.sums,
                 kOwn * kProjectedRow, cta.barriers + kGathered);
}

// order[p]: the token at place p of what a block scans.
__device__ __forceinline__ void reorder(int* to, const int* from, int side) {
  for (int p = threadIdx.x; p < kRows; p += kThreads)
    to[p] = from[p >= LENGTH || side < 0 ? p : side == 0 ? LENGTH - 1 - p : p % side * side + p / side];
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(kThreads, 1)
    cluster_blocks(const __grid_constant__ Args a) {
  extern __shared__ __align__(128) byte memory[];
  __shared__ u64 barriers[kBarriers];
  __shared__ int orders[2][kRows];
  Cta cta;
  cta.memory = memory, cta.barriers = barriers;
  cta.plan = plan_of(LENGTH, MODEL, CLUSTER, GROUPS, a.channels, a.neurons);
  cta.rank = cluster_rank(), cta.gathered = cta.arrived = 0;
  cta.warp = threadIdx.x / 32, cta.lane = threadIdx.x % 32;
  const int image = blockIdx.x / CLUSTER;
  constexpr u32 kTokenBytes = kOwn * MODEL * kBytes16, kPartialBytes = kOwn * kRow,
                kProjectedBytes = kOwn * kProjectedRow;

  const auto load_ssm = [&](int i) {
    const BlockOf& block = a.block[i];
    const u32 bytes = ssm_part(block.channels, MODEL).bytes;
    barrier_expect(barriers + kSsmWeights, bytes);
    copy_from_global(memory + cta.plan.ssm, a.weights + block.at + (i64)cta.rank * bytes, bytes,
                     barriers + kSsmWeights);
  };
  const auto load_mlp = [&](int i) {
    const BlockOf& block = a.block[i];
    const u32 bytes = mlp_part(block.neurons, MODEL).bytes;
    barrier_expect(barriers + kMlpWeights, bytes);
    copy_from_global(
        memory + cta.plan.mlp,
        a.weights + block.at + (i64)CLUSTER * ssm_part(block.channels, MODEL).bytes + (i64)(cta.rank % kGroup) * bytes,
        bytes, barriers + kMlpWeights);
  };
  if (threadIdx.x == 0) {
    for (int i = 0; i < kBarriers; i++) barrier_init(barriers + i);
    barriers_ready();
    load_ssm(0), load_mlp(0);
    barrier_expect(barriers + kGathered, CLUSTER * kTokenBytes);
    barrier_expect(barriers + kGroupGathered, kGroup * kTokenBytes);
    barrier_expect(barriers + kArrived, CLUSTER * kProjectedBytes);
  }
  for (int p = threadIdx.x; p < kRows; p += kThreads) orders[1][p] = p;
  __syncthreads();
  reorder(orders[0], orders[1], a.block[0].order);
  Stream stream;
  stream.read(a, cta, image);
  cluster_sync();
  stream.send_normalized<CLUSTER>(cta, a.eps, kGathered);

#pragma unroll 1
  for (int i = 0; i < a.blocks; i++) {
    const BlockOf block = a.block[i];
    const int channels = block.channels, neurons = block.neurons, k_steps = (channels + 15) / 16;
    const SsmPart ssm = ssm_part(channels, MODEL);
    const MlpPart mlp = mlp_part(neurons, MODEL);
    const int gates_row = 2 * channels + 4, u_row = row_bytes(k_steps * 16), hidden_row = row_bytes(neurons);
    const int* order = orders[i & 1];
    const byte *ssm_weights = memory + cta.plan.ssm, *mlp_weights = memory + cta.plan.mlp;

    barrier_wait(barriers + kSsmWeights, i & 1);
    cta.wait_gathered(CLUSTER * kProjectedBytes);
    product<kTiles, 2, 3>(
        cta, memory + cta.plan.tokens, kRow, [&](int row) { return order[row]; }, MODEL / 16, ssm_weights + ssm.in_proj,
        2 * channels / 8,
        [&](int row, int column, float v0, float v1) {
          const float2 bias = in<const float2>(memory, cta.plan.ssm + ssm.in_bias + column * 4);
          in<float2>(memory, cta.plan.gates + (row * gates_row + column) * 4) = float2{v0 + bias.x, v1 + bias.y};
        });
    __syncthreads();
    convolve(cta, ssm, channels, gates_row, u_row);
    __syncthreads();
    product<kTiles, 1, 3>(cta, memory + cta.plan.u, u_row, InOrder(), k_steps, ssm_weights + ssm.x_proj, kProjected / 8,
                          [&](int row, int column, float v0, float v1) {
                            in<float2>(memory, cta.plan.partial + row * kProjectedRow + column * 4) = float2{v0, v1};
                          });
    cta.send_partial<CLUSTER>(cta.plan.partial, kProjectedRow);
    cta.wait_arrived(CLUSTER * kPartialBytes);
    send_projected(cta);
    cta.wait_gathered(CLUSTER * kTokenBytes);
    step_sizes(cta, ssm, channels, u_row);
    __syncthreads();
    if (channels * kStates <= kThreads) scan<1>(cta, ssm, channels, gates_row, u_row);
    else if (channels * kStates <= 2 * kThreads) scan<2>(cta, ssm, channels, gates_row, u_row);
    else scan<4>(cta, ssm, channels, gates_row, u_row);
    __syncthreads();
    product<kTiles, 2, 6>(cta, memory + cta.plan.u, u_row, InOrder(), k_steps, ssm_weights + ssm.out_proj, MODEL / 8,
                          [&](int row, int column, float v0, float v1) {
                            in<u32>(memory, cta.plan.partial + order[row] * kRow + column * 2) = pair_of(v0, v1);
                          });
    cta.send_partial<CLUSTER>(cta.plan.partial, kRow);
    if (threadIdx.x == 0 && i + 1 < a.blocks) load_ssm(i + 1);
    cta.wait_arrived(kGroup * kPartialBytes);
    float bias[kPairs][2] = {};
    stream.add<CLUSTER>(cta, bias);
    stream.send_normalized<kGroup>(cta, a.eps, kGroupGathered);

    barrier_wait(barriers + kMlpWeights, i & 1);
    cta.wait_group_gathered(i, kGroup * kTokenBytes);
    const int first = GROUPS == 1 ? 0 : cta.rank / kGroup * kGroupTiles * 16;
    product<kGroupTiles, kMlpM, 3>(cta, memory + cta.plan.tokens + first * kRow, kRow, InOrder(), MODEL / 16,
                                   mlp_weights + mlp.fc1, neurons / 8, [&](int row, int column, float v0, float v1) {
                                     const float2 bias1 =
                                         in<const float2>(memory, cta.plan.mlp + mlp.bias1 + column * 4);
                                     in<u32>(memory, cta.plan.hidden + row * hidden_row + column * 2) =
                                         pair_of(gelu(v0 + bias1.x), gelu(v1 + bias1.y));
                                   });
    __syncthreads();
    product<kGroupTiles, kMlpM, kMlpN>(cta, memory + cta.plan.hidden, hidden_row, InOrder(), neurons / 16,
                                       mlp_weights + mlp.fc2, MODEL / 8, [&](int row, int column, float v0, float v1) {
                                         in<u32>(memory, cta.plan.mlp_partial + row * kRow + column * 2) =
                                             pair_of(v0, v1);
                                       });
#pragma unroll
    for (int p = 0; p < kPairs; p++) {
      const int column = 2 * (cta.lane + 32 * p);
      if (column >= MODEL) continue;
      const float2 bias2 = in<const float2>(memory, cta.plan.mlp + mlp.bias2 + column * 4);
      bias[p][0] = bias2.x, bias[p][1] = bias2.y;
    }
    if (i + 1 < a.blocks) reorder(orders[(i + 1) & 1], order, a.block[i + 1].order);
    cta.send_partial<kGroup>(cta.plan.mlp_partial, kRow);
    if (threadIdx.x == 0 && i + 1 < a.blocks) load_mlp(i + 1);
    cta.wait_arrived(CLUSTER * kProjectedBytes);
    stream.add<kGroup>(cta, bias);
    if (i + 1 < a.blocks) stream.send_normalized<CLUSTER>(cta, a.eps, kGathered);
  }
  stream.write(a, cta, image, orders[(a.blocks - 1) & 1]);
  // Nobody's memory goes while others may still copy from or to it.
  cluster_sync();
}
