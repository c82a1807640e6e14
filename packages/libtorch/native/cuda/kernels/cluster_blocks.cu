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
#include "cluster_ssm.cuh"
#include "cluster_stream.cuh"

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
  __shared__ Moments moments[kWarps];
  Stream stream;
  stream.team = cta.warp / kTeam, stream.part = cta.warp % kTeam, stream.moments = moments;
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
    product<kTiles, 1, kWide>(
        cta, memory + cta.plan.tokens, kRow, [&](int row) { return order[row]; }, MODEL / 16, ssm_weights + ssm.in_proj,
        2 * channels / 8,
        [&](int row, int column, float v0, float v1) {
          const float2 bias = in<const float2>(memory, cta.plan.ssm + ssm.in_bias + column * 4);
          in<float2>(memory, cta.plan.gates + (row * gates_row + column) * 4) = float2{v0 + bias.x, v1 + bias.y};
        });
    __syncthreads();
    convolve(cta, ssm, channels, gates_row, u_row);
    __syncthreads();
    product<kTiles, 1, 2>(cta, memory + cta.plan.u, u_row, InOrder(), k_steps, ssm_weights + ssm.x_proj, kProjected / 8,
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
    product<kTiles, 2, 3>(cta, memory + cta.plan.u, u_row, InOrder(), k_steps, ssm_weights + ssm.out_proj, MODEL / 8,
                          [&](int row, int column, float v0, float v1) {
                            in<u32>(memory, cta.plan.partial + order[row] * kRow + column * 2) = pair(v0, v1);
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
    product<kGroupTiles, 1, kWide>(cta, memory + cta.plan.tokens + first * kRow, kRow, InOrder(), MODEL / 16,
                                   mlp_weights + mlp.fc1, neurons / 8, [&](int row, int column, float v0, float v1) {
                                     const float2 bias1 =
                                         in<const float2>(memory, cta.plan.mlp + mlp.bias1 + column * 4);
                                     in<u32>(memory, cta.plan.hidden + row * hidden_row + column * 2) =
                                         pair(gelu(v0 + bias1.x), gelu(v1 + bias1.y));
                                   });
    __syncthreads();
    product<kGroupTiles, kMlpTiles, 3>(cta, memory + cta.plan.hidden, hidden_row, InOrder(), neurons / 16,
                                       mlp_weights + mlp.fc2, MODEL / 8, [&](int row, int column, float v0, float v1) {
                                         in<u32>(memory, cta.plan.mlp_partial + row * kRow + column * 2) = pair(v0, v1);
                                       });
#pragma unroll
    for (int p = 0; p < kPairs; p++) {
      if (!stream.has(cta.lane, p)) continue;
      const float2 bias2 = in<const float2>(memory, cta.plan.mlp + mlp.bias2 + stream.column(cta.lane, p) * 4);
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
