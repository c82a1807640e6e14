// The block of block_kernel.h with its matrices in low precision.
// Included by isa_table.h after block_kernel.h, low_scan_kernel.h and low_stage.h.
namespace mamba_prune {
namespace MP_ISA {

// silu(conv(x)) of one row: tap k is x + (k - taps + 1) stride, those before `missing` are zeros. K taps (0: known at run
// time only). What lies behind the last channel of x is in memory, and multiplied with weights of 0.
template <int K> void low_conv_row(const float* x, int64_t stride, int64_t taps, int64_t missing, int64_t channels,
                                   const BlockPacked& p, float* out) {
  for (int64_t c = 0; c < channels; c += kWidth) {
    VF sum = load(p.conv_bias + c);
    if constexpr (K > 0) {
#pragma GCC unroll 8
      for (int64_t k = 0; k < K; k++) sum += load(p.conv_weight + k * p.padded + c) * load(x + (k - K + 1) * stride + c);
    } else {
      for (int64_t k = missing; k < taps; k++)
        sum += load(p.conv_weight + k * p.padded + c) * load(x + (k - taps + 1) * stride + c);
    }
    store_n<true>(out + c, silu_low(sum), channels - c);
  }
}

// The rows of both directions, and the same as x_proj reads them. The second direction begins at a sample's last row.
inline void low_conv_stage(const BlockArgs& a, const Team& team, const LowRows* converted) {
  const BlockSizes& s = a.sizes;
  const int64_t rows = a.batch * s.length, tasks = s.directions * rows;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t d = task / rows, row = task % rows, place = row % s.length;
    const int64_t before = d == 0 ? place : s.length - 1 - place;
    const int64_t missing = before < s.taps - 1 ? s.taps - 1 - before : 0, stride = (d == 0 ? 2 : -2) * s.inner;
    const float* x = a.buffers.xz + row * 2 * s.inner;
    float* u = a.buffers.u[d] + row * s.inner;
    if (s.taps == 4 && missing == 0) low_conv_row<4>(x, stride, 4, 0, s.inner, a.packed[d], u);
    else low_conv_row<0>(x, stride, s.taps, missing, s.inner, a.packed[d], u);
    a.low->convert(u, 0, s.inner, converted[d], row, row + 1);
  }
}

inline LowScan low_scan_of(const BlockArgs& a, int64_t d) {
  const BlockSizes& s = a.sizes;
  const BlockBuffers& b = a.buffers;
  const BlockPacked& p = a.packed[d];
  LowScan scan{s.length, s.inner, s.states, s.rank};
  scan.u = samples(b.u[d], s.length, s.inner, d);
  scan.z = samples(b.xz + s.inner, s.length, 2 * s.inner, d);
  scan.projected = samples(b.projected[d], s.length, s.rank + 2 * s.states, d);
  scan.A = p.A, scan.skip = p.skip, scan.bias = p.dt_bias;
  const Rows<const float> y = samples(b.scanned, s.length, s.inner, d);
  scan.y = {const_cast<float*>(y.data), y.batch_stride, y.step_stride};
  scan.adds = d > 0, scan.gates = d == s.directions - 1, scan.sum_scale = a.sum_scale;
  return scan;
}

inline void low_scan_stage(const BlockArgs& a, const Team& team, float* scratch) {
  const BlockSizes& s = a.sizes;
  const int64_t tiles = a.packed[0].tiles;
  float *panel = scratch, *rest = panel + low_scan_panel(s, kPanel);
  LowScan scans[kMaxDirections];
  for (int64_t d = 0; d < s.directions; d++) scans[d] = low_scan_of(a, d);
  for (int64_t tile = team.first(tiles); tile < team.last(tiles); tile++)
    for (int64_t d = 0; d < s.directions; d++) {
      const int64_t c0 = tile * kPanel, valid = s.inner - c0 < kPanel ? s.inner - c0 : kPanel;
      pack_panel(panel, a.weights.scans[d].dt_weight + c0 * s.rank, s.rank, valid, s.rank);
      for (int64_t sample = 0; sample < a.batch; sample++) low_scan_tile(scans[d], sample, tile, panel, rest);
    }
}

// With parts == 1 the parameters have been packed before. `scratch` has room for low_block_scratch.
inline void low_block_forward(const BlockArgs& a, int64_t part, int64_t parts, float* scratch) {
  const Team team{part, parts};
  const BlockSizes& s = a.sizes;
  const BlockWeights& w = a.weights;
  const BlockBuffers& b = a.buffers;
  const LowKernels& kernels = *a.low;
  const int64_t rows = a.batch * s.length, projected = s.rank + 2 * s.states;
  const LowRows normed = low_rows(kernels.precision, rows, s.model, b.low[0]);
  const LowRows convolved[kMaxDirections] = {low_rows(kernels.precision, rows, s.inner, b.low[0]),
                                             low_rows(kernels.precision, rows, s.inner, b.low[1])};
  if (parts > 1) block_pack(a, part, parts);
  low_norm_stage(team, kernels, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, normed, scratch);
  team.wait();
  low_multiply_stage(team, kernels, {rows, w.in_proj.low, b.xz, 2 * s.inner}, normed);
  team.wait();
  low_conv_stage(a, team, convolved);
  team.wait();
  for (int64_t d = 0; d < s.directions; d++)
    low_multiply_stage(team, kernels, {rows, w.scans[d].x_proj.low, b.projected[d], projected}, convolved[d]);
  team.wait();
  low_scan_stage(a, team, scratch);
  team.wait();
  low_convert_stage(team, kernels, b.scanned, s.inner, rows, convolved[0]);
  team.wait();
  low_multiply_stage(team, kernels, {rows, w.out_proj.low, a.y, s.model, nullptr, a.x}, convolved[0]);
  if (s.hidden == 0) return;
  team.wait();
  low_norm_stage(team, kernels, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, normed, scratch);
  team.wait();
  low_mlp_stages(team, kernels, rows, {w.fc1_weight.low, w.fc1_bias, w.fc2_weight.low, w.fc2_bias}, normed, b.hidden,
                 low_rows(kernels.precision, rows, s.hidden, b.low[1]), a.y);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
