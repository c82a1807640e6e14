#include "cluster_pack.h"

#include "kernels/cluster_interface.h"
#include "layer_util.h"

namespace mamba_prune::cuda::cluster_op {

using at::Tensor;

namespace {

using namespace cluster_kernel;

// t with zeros behind it along one dimension.
Tensor filled(const Tensor& t, int64_t dim, int64_t size) {
  std::vector<int64_t> more = t.sizes().vec();
  more[static_cast<size_t>(dim)] = size - t.size(dim);
  return at::cat({t, at::zeros(more, t.options())}, dim);
}

// [cluster, ...]: along one dimension, so many for each multiprocessor.
Tensor slices(const Tensor& t, int64_t dim, int64_t cluster, int64_t slice) {
  std::vector<int64_t> shape = t.sizes().vec();
  shape[static_cast<size_t>(dim)] = slice;
  shape.insert(shape.begin() + dim, cluster);
  return filled(t, dim, cluster * slice).reshape(shape).movedim(dim, 0);
}

Tensor bytes(const Tensor& t) { return t.contiguous().reshape({t.size(0), -1}).view(at::kByte); }

// Weights [cluster, outputs, inputs] as mma.m16n8k16 takes its right operand: for 8 outputs times 16 inputs lane 4 o +
// i has inputs 2 i, 2 i + 1, 2 i + 8 and 2 i + 9 of output o.
Tensor fragments(const Tensor& t, at::ScalarType type) {
  const Tensor tiles = t.reshape({t.size(0), t.size(1) / 8, 8, t.size(2) / 16, 2, 4, 2});
  return bytes(tiles.permute({0, 1, 3, 2, 5, 4, 6}).to(type));
}

Tensor each(const Tensor& t, int64_t cluster) { return t.unsqueeze(0).expand({cluster, t.size(0)}); }

}  // namespace

Block::Block(at::TensorList w) {
  Tensor* to[kWeights] = {&norm1_weight, &norm1_bias, &norm2_weight, &norm2_bias, &in_proj, &out_proj, &conv_weight,
                          &conv_bias,    &x_proj,     &dt_weight,    &dt_bias,    &A_log,   &D,        &fc1,
                          &bias1,        &fc2,        &bias2};
  for (size_t i = 0; i < kWeights; i++) *to[i] = w[i];
}

void Block::check(const char* op) const {
  TORCH_CHECK(
      fc1.dim() == 2 && out_proj.dim() == 2 && A_log.dim() == 2 && dt_weight.dim() == 2 && conv_weight.dim() == 3, op,
      ": got weights of other dimensions than fc1 [neurons, d_model], out_proj [d_model, d_inner], A_log ",
      "[d_inner, d_state], dt_proj [d_inner, dt_rank], conv1d [d_inner, 1, taps].");
  const auto expect = [&](const char* name, const Tensor& t, at::IntArrayRef shape) {
    check_shape(op, name, t, shape, at::kFloat, fc1);
  };
  const int64_t m = model(), c = channels(), n = neurons();
  expect("norm1 weight", norm1_weight, {m}), expect("norm1 bias", norm1_bias, {m});
  expect("norm2 weight", norm2_weight, {m}), expect("norm2 bias", norm2_bias, {m});
  expect("in_proj", in_proj, {2 * c, m}), expect("out_proj", out_proj, {m, c});
  expect("conv1d weight", conv_weight, {c, 1, taps()}), expect("conv1d bias", conv_bias, {c});
  expect("x_proj", x_proj, {rank() + 2 * states(), c}), expect("dt_proj weight", dt_weight, {c, rank()});
  expect("dt_proj bias", dt_bias, {c}), expect("A_log", A_log, {c, states()}), expect("D", D, {c});
  expect("fc1", fc1, {n, m}), expect("fc1 bias", bias1, {n}), expect("fc2", fc2, {m, n}),
      expect("fc2 bias", bias2, {m});
}

Tensor packed(const Block& b, int64_t cluster, int64_t groups, at::ScalarType type) {
  const int64_t channels = b.channels(), rank = b.rank(), states = b.states();
  const int64_t group = cluster / groups;
  const int64_t slice = slice_of(static_cast<int>(channels), static_cast<int>(cluster), 8);
  const int64_t wide = slice_of(static_cast<int>(b.neurons()), static_cast<int>(group), 16);
  const int64_t k = rounded(static_cast<int>(slice), 16);
  const auto sliced = [&](const Tensor& t, int64_t dim) { return slices(t, dim, cluster, slice); };
  // u's channels of a multiprocessor, then z's.
  const auto halves = [&](const Tensor& t) {
    return at::cat({sliced(t.narrow(0, 0, channels), 0), sliced(t.narrow(0, channels, channels), 0)}, 1);
  };
  const Tensor projected =
      at::cat({filled(b.x_proj.narrow(0, 0, rank), 0, kRank), filled(b.x_proj.narrow(0, rank, states), 0, kStates),
               filled(b.x_proj.narrow(0, rank + states, states), 0, kStates)});
  const Tensor taps = b.conv_weight.view({channels, b.taps()}).flip(1);
  // To base 2, as the kernel's exponential is. A state that is not there never decays, and nothing goes into it.
  const Tensor rate = filled(b.A_log.exp() * -1.4426950408889634, 1, kStates);
  const Tensor ssm = at::cat(
      {fragments(halves(b.in_proj * b.norm1_weight), type), fragments(filled(sliced(projected, 1), 2, k), type),
       fragments(sliced(filled(b.dt_weight, 1, kRank), 0), type), fragments(filled(sliced(b.out_proj, 1), 2, k), type),
       bytes(halves(times(b.in_proj, b.norm1_bias))), bytes(sliced(filled(taps, 1, kTaps).flip(1), 0).transpose(1, 2)),
       bytes(sliced(b.conv_bias, 0)), bytes(sliced(b.dt_bias, 0)), bytes(sliced(b.D, 0)), bytes(sliced(rate, 0))},
      1);
  const Tensor mlp = at::cat(
      {fragments(slices(b.fc1 * b.norm2_weight, 0, group, wide), type), fragments(slices(b.fc2, 1, group, wide), type),
       bytes(slices(b.bias1 + times(b.fc1, b.norm2_bias), 0, group, wide)), bytes(each(b.bias2, group))},
      1);
  return at::cat({ssm.reshape({-1}), mlp.reshape({-1})});
}

}  // namespace mamba_prune::cuda::cluster_op
