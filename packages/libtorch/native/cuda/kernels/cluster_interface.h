// What cluster_blocks.cu and the host that packs its weights and launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::cluster_kernel {

constexpr int kThreads = 512;
constexpr int kTaps = 4;                             // of the convolution; fewer are filled up with zeros in front
constexpr int kStates = 16, kRank = 16;              // of a channel; fewer are filled up with zeros
constexpr int kProjected = kRank + 2 * kStates;      // columns of x_proj
constexpr int kProjectedRow = (kProjected + 4) * 4;  // bytes of a row of them: shifted by four banks from the next
constexpr int kMaxBlocks = 64;
constexpr int kBytes16 = 2;

MAMBA_PRUNE_BOTH constexpr int rounded(int size, int to) { return (size + to - 1) / to * to; }
/** Channels or neurons of a multiprocessor: `to` is 8 or 16. */
MAMBA_PRUNE_BOTH constexpr int slice_of(int size, int cluster, int to) {
  return rounded((size + cluster - 1) / cluster, to);
}
/** Bytes of a row of 16-bit numbers: shifted by four banks from the next, for ldmatrix. */
MAMBA_PRUNE_BOTH constexpr int row_bytes(int columns) { return columns * kBytes16 + 16; }

/** Where the weights of the SSM branch of one multiprocessor lie: fragments of products, then float32. */
struct SsmPart {
  int in_proj, x_proj, dt_proj, out_proj;  // [2 channels, model], [48, k], [channels, 16], [model, k]
  int in_bias, taps, conv_bias, dt_bias, skip, rate,
      bytes;  // [2 channels], [4, channels], 3 [channels], [channels, 16]
};
/** @param channels a multiple of 8; k is the next multiple of 16 */
MAMBA_PRUNE_BOTH constexpr SsmPart ssm_part(int channels, int model) {
  const int k = rounded(channels, 16);
  SsmPart p{};
  p.in_proj = 0;
  p.x_proj = p.in_proj + 2 * channels * model * kBytes16;
  p.dt_proj = p.x_proj + kProjected * k * kBytes16;
  p.out_proj = p.dt_proj + channels * kRank * kBytes16;
  p.in_bias = p.out_proj + model * k * kBytes16;
  p.taps = p.in_bias + 2 * channels * 4;
  p.conv_bias = p.taps + kTaps * channels * 4;
  p.dt_bias = p.conv_bias + channels * 4;
  p.skip = p.dt_bias + channels * 4;
  p.rate = p.skip + channels * 4;
  p.bytes = p.rate + channels * kStates * 4;
  return p;
}
/** The same of the MLP branch. */
struct MlpPart {
  int fc1, fc2, bias1, bias2, bytes;  // [neurons, model], [model, neurons], [neurons], [model]
};
/** @param neurons a multiple of 16 */
MAMBA_PRUNE_BOTH constexpr MlpPart mlp_part(int neurons, int model) {
  MlpPart p{};
  p.fc1 = 0;
  p.fc2 = p.fc1 + neurons * model * kBytes16;
  p.bias1 = p.fc2 + neurons * model * kBytes16;
  p.bias2 = p.bias1 + neurons * 4;
  p.bytes = p.bias2 + model * 4;
  return p;
}

/**
 * Shared memory of a multiprocessor for the largest slices that any block has.
 * @param groups parts of the cluster that share the tokens for the MLP
 */
struct Plan {
  int rows, own, all;  // tokens in whole tiles; those whose residual stream it keeps; those of the cluster
  int ssm, mlp, tokens, partial, mlp_partial, received, outgoing, projected, sums, gates, u, steps, hidden, bytes;
};
MAMBA_PRUNE_BOTH constexpr Plan plan_of(int length, int model, int cluster, int groups, int channels, int neurons) {
  const int row = row_bytes(model);
  Plan p{};
  p.rows = rounded(length, 16), p.own = (p.rows + cluster - 1) / cluster, p.all = p.own * cluster;
  const int wide = row > kProjectedRow ? row : kProjectedRow;
  p.ssm = 0;
  p.mlp = p.ssm + ssm_part(channels, model).bytes;
  p.tokens = p.mlp + mlp_part(neurons, model).bytes;
  p.partial = p.tokens + p.all * row;
  p.mlp_partial = p.partial + (groups > 1 ? p.all * wide : 0);
  p.received = groups > 1 ? p.mlp_partial + p.all / groups * row : p.partial + p.all * wide;
  p.outgoing = p.received + p.all * wide;
  p.projected = p.outgoing + p.own * row;
  p.sums = p.projected + p.all * kProjectedRow;
  // The MLP's hidden neurons lie where the SSM's channels were.
  p.gates = p.hidden = p.sums + p.own * kProjectedRow;
  p.u = p.gates + p.rows * (2 * channels + 4) * 4;
  p.steps = p.u + p.rows * row_bytes(rounded(channels, 16));
  const int after = p.steps + channels * (p.rows + 2) * 8, hidden = p.hidden + p.rows * row_bytes(neurons);
  p.bytes = after > hidden ? after : hidden;
  return p;
}

/** One block: where its parts begin, for each multiprocessor after another, and the size of its slices. */
struct BlockOf {
  long long at;
  short channels, neurons;
  int order;  // before it: the side of the grid of tokens that is exchanged, 0 for reversed, -1 for as they are
};
/** @tparam T type of the elements, void on the host */
template <class T> struct ClusterArgs {
  const T* x;  // [batch, length, model]
  T* out;
  const unsigned char* weights;
  int blocks, channels, neurons;  // the largest slices
  float eps;
  BlockOf block[kMaxBlocks];
};
MAMBA_PRUNE_CHECK_LAYOUT(BlockOf, 16);
MAMBA_PRUNE_CHECK_LAYOUT(ClusterArgs<void>, 3 * 8 + 4 * 4 + kMaxBlocks * 16);

}  // namespace mamba_prune::cuda::cluster_kernel
