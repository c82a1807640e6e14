// A whole Mamba block, forward only:
//   x = x + out_proj(scan(in_proj(norm1(x)))),  y = x + fc2(gelu(fc1(norm2(x)))),
// or its first half alone, with one or two directions of the scan.
// At batch 1 the operators of a pruned block are so small that calling them costs more than computing them. Here one
// call does the block, with one parallel region and a barrier between the stages; what a stage leaves stays in cache.
// Included by isa_*.cc after team_kernel.h, gemm_kernel.h, scan_forward_kernel.h and conv_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// Channels that a task of the convolution covers.
constexpr int64_t kConvTask = 32;

// For one direction: lays out A = -exp(A_log), D, and the biases of tile `tile`, and the convolution's weights of its
// channels.
inline void pack_tile(const BlockArgs& a, int64_t direction, int64_t tile) {
  const BlockSizes& s = a.sizes;
  const BlockPacked& p = a.packed[direction];
  const ScanWeights& w = a.weights.scans[direction];
  const int64_t c0 = tile * kPanel, valid = s.inner - c0 < kPanel ? s.inner - c0 : kPanel;
  float *A = p.A + tile * s.states * kPanel, peak = 0;
  for (int64_t n = 0; n < s.states; n++)
    for (int64_t half = 0; half < kPanel; half += kWidth) {
      VF log{};
      for (int64_t i = 0; i < kWidth; i++) log[i] = half + i < valid ? w.A_log[(c0 + half + i) * s.states + n] : 0.0f;
      const VF value = exp<float>(log) * static_cast<float>(-kLog2e);
      for (int64_t i = 0; i < kWidth; i++) {
        const float each = half + i < valid ? value[i] : 0.0f;
        A[n * kPanel + half + i] = each;
        peak = peak > -each ? peak : -each;
      }
    }
  p.A_peak[tile] = peak;
  for (int64_t i = 0; i < kPanel; i++) {
    const bool inside = i < valid;
    const int64_t c = c0 + i;
    p.skip[c] = inside ? w.D[c] : 0.0f;
    p.dt_bias[c] = inside ? w.dt_bias[c] : 0.0f;
    p.conv_bias[c] = inside ? w.conv_bias[c] : 0.0f;
    for (int64_t k = 0; k < s.taps; k++)
      p.conv_weight[k * p.padded + c] = inside ? w.conv_weight[c * s.taps + k] : 0.0f;
  }
}

inline void block_pack(const BlockArgs& a, int64_t part, int64_t parts) {
  const Team team{part, parts};
  const int64_t tiles = a.packed[0].tiles, tasks = a.sizes.directions * tiles;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) pack_tile(a, task / tiles, task % tiles);
}

// Panels are shared out; where there are fewer than threads, the rows are too.
inline void gemm_stage(const Gemm& g, const Team& team, float* panel) {
  const int64_t slices = team.slices(g.panels(), (g.rows + kGemmRows - 1) / kGemmRows), tasks = g.panels() * slices;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t slice = task % slices;
    gemm_panel(g, task / slices, g.rows * slice / slices, g.rows * (slice + 1) / slices, panel);
  }
}

inline void conv_stage(const BlockArgs& a, const Team& team, float* scratch) {
  const BlockSizes& s = a.sizes;
  ConvForward<float> conv{};
  conv.batch = 1, conv.length = s.length, conv.taps = s.taps, conv.padded = a.packed[0].padded, conv.silu = true;
  for (int64_t k = 0; k < kConvBlock; k++) scratch[k] = 0.0f;  // the row before the start
  const int64_t blocks = (s.inner + kConvTask - 1) / kConvTask, each = a.batch * blocks, tasks = s.directions * each;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t direction = task / each, c = task % blocks * kConvTask;
    // The second direction begins at a sample's last row and goes up.
    const int64_t way = direction == 0 ? 1 : -1;
    const int64_t row = task % each / blocks * s.length + (direction == 0 ? 0 : s.length - 1);
    conv.channels = s.inner - c < kConvTask ? s.inner - c : kConvTask;
    conv.x = {a.buffers.xz + row * 2 * s.inner + c, 0, way * 2 * s.inner};
    conv.weight = a.packed[direction].conv_weight + c, conv.bias = a.packed[direction].conv_bias + c;
    conv.y = a.buffers.u[direction] + row * s.inner + c, conv.y_stride = way * s.inner;
    if (s.taps == 4) conv_forward_block<4, float>(conv, 0, 0, scratch);
    else conv_forward_block<0, float>(conv, 0, 0, scratch);
  }
}

// Rows of samples in the order of a direction.
template <class T> MP_INLINE Rows<T> in_order(T* data, int64_t length, int64_t stride, int64_t direction) {
  if (direction == 0) return {data, length * stride, stride};
  return {data + (length - 1) * stride, length * stride, -stride};
}

inline ScanForward<float> scan_of(const BlockArgs& a, int64_t d) {
  const BlockSizes& s = a.sizes;
  const BlockBuffers& b = a.buffers;
  const BlockPacked& p = a.packed[d];
  const int64_t projected = s.rank + 2 * s.states;
  ScanForward<float> scan{};
  scan.batch = a.batch, scan.length = s.length, scan.channels = s.inner, scan.states = s.states, scan.tiles = p.tiles;
  const auto rows = [&](const float* data, int64_t stride) { return in_order(data, s.length, stride, d); };
  scan.u = rows(b.u[d], s.inner), scan.delta = rows(b.delta, s.inner);
  scan.z = rows(b.xz + s.inner, 2 * s.inner);
  scan.B = rows(b.projected[d] + s.rank, projected);
  scan.C = rows(b.projected[d] + s.rank + s.states, projected);
  scan.A = p.A, scan.A_peak = p.A_peak, scan.skip = p.skip, scan.delta_bias = p.dt_bias;
  scan.softplus = true;
  scan.y = b.scanned, scan.sum_scale = a.sum_scale;
  return scan;
}

// Step sizes and scans of the same channels: nobody else reads the step sizes, nor adds to the sum over both
// directions, so there is no barrier between.
inline void scan_stage(const BlockArgs& a, const Team& team, float* scratch, BlockClock& clock) {
  const BlockSizes& s = a.sizes;
  const int64_t projected = s.rank + 2 * s.states, rows = a.batch * s.length, tiles = a.packed[0].tiles;
  ScanForward<float> scans[kMaxDirections];
  for (int64_t d = 0; d < s.directions; d++) scans[d] = scan_of(a, d);
  for (int64_t tile = team.first(tiles); tile < team.last(tiles); tile++)
    for (int64_t d = 0; d < s.directions; d++) {
      const Gemm dt{a.buffers.projected[d],
                    projected,
                    rows,
                    s.rank,
                    a.weights.scans[d].dt_weight,
                    s.inner,
                    a.buffers.delta,
                    s.inner,
                    nullptr,
                    nullptr,
                    false};
      gemm_panel(dt, tile, 0, rows, scratch);
      clock.lap(BlockStage::dt_proj);
      for (int64_t sample = 0; sample < a.batch; sample++) {
        if (d == 0) run_tile<ForwardTile, float>(scans[d], sample, tile, scratch);
        else run_tile<SecondTile, float>(scans[d], sample, tile, scratch);
      }
      clock.lap(BlockStage::scan);
    }
}

// out = x W^T (+ bias) (+ residual), all of them row after row without gaps; ends with a barrier.
inline void product(const BlockArgs& a, const Team& team, const float* x, int64_t depth, const BlockMatrix& weight,
                    int64_t columns, float* out, float* scratch, const float* bias = nullptr,
                    const float* residual = nullptr, bool gelu = false) {
  const int64_t rows = a.batch * a.sizes.length;
  if (weight.panels) {
    // Sums in the parts of gemm_panel, so that results do not depend on which of the two it is.
    packed_stage(team, {x, depth, rows, depth, weight.panels, weight.panel_stride, columns, out, columns, bias,
                        residual, gelu ? Activation::gelu : Activation::none, kPanelDepth});
  } else {
    gemm_stage({x, depth, rows, depth, weight.plain, columns, out, columns, bias, residual, gelu}, team, scratch);
  }
  team.wait();
}

// With parts == 1 the parameters have been packed before.
inline void block_forward(const BlockArgs& a, int64_t part, int64_t parts, float* scratch, BlockClock& clock) {
  const Team team{part, parts};
  const BlockSizes& s = a.sizes;
  const BlockWeights& w = a.weights;
  const BlockBuffers& b = a.buffers;
  const int64_t rows = a.batch * s.length;
  if (parts > 1) block_pack(a, part, parts);
  clock.start();
  norm_stage(team, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, b.normed);
  team.wait();
  clock.lap(BlockStage::norm);
  product(a, team, b.normed, s.model, w.in_proj, 2 * s.inner, b.xz, scratch);
  clock.lap(BlockStage::in_proj);
  conv_stage(a, team, scratch);
  team.wait();
  clock.lap(BlockStage::conv);
  for (int64_t d = 0; d < s.directions; d++)
    product(a, team, b.u[d], s.inner, w.scans[d].x_proj, s.rank + 2 * s.states, b.projected[d], scratch);
  clock.lap(BlockStage::x_proj);
  scan_stage(a, team, scratch, clock);
  team.wait();
  clock.lap(BlockStage::scan);
  product(a, team, b.scanned, s.inner, w.out_proj, s.model, a.y, scratch, nullptr, a.x);
  clock.lap(BlockStage::out_proj);
  if (s.hidden == 0) return;
  norm_stage(team, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, b.normed);
  team.wait();
  clock.lap(BlockStage::norm);
  product(a, team, b.normed, s.model, w.fc1_weight, s.hidden, b.hidden, scratch, w.fc1_bias, nullptr, true);
  clock.lap(BlockStage::fc1);
  product(a, team, b.hidden, s.hidden, w.fc2_weight, s.model, a.y, scratch, w.fc2_bias, a.y);
  clock.lap(BlockStage::fc2);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
