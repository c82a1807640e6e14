// A whole Mamba block, forward only:
//   x = x + out_proj(scan(in_proj(norm1(x)))),  y = x + fc2(gelu(fc1(norm2(x)))).
// At batch 1 the operators of a pruned block are so small that calling them costs more than computing them. Here one
// call does the block, with one parallel region and a barrier between the stages; what a stage leaves stays in cache.
// Included by isa_*.cc after team_kernel.h, gemm_kernel.h, scan_forward_kernel.h and conv_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// Channels that a task of the convolution covers.
constexpr int64_t kConvTask = 32;

// Lays out A = -exp(A_log), D, and the biases of tile `tile`, and the convolution's weights of its channels.
inline void pack_tile(const BlockArgs& a, int64_t tile) {
  const BlockSizes& s = a.sizes;
  const BlockPacked& p = a.packed;
  const int64_t c0 = tile * kPanel, valid = s.inner - c0 < kPanel ? s.inner - c0 : kPanel;
  float *A = p.A + tile * s.states * kPanel, peak = 0;
  for (int64_t n = 0; n < s.states; n++)
    for (int64_t half = 0; half < kPanel; half += kWidth) {
      VF log{};
      for (int64_t i = 0; i < kWidth; i++)
        log[i] = half + i < valid ? a.weights.A_log[(c0 + half + i) * s.states + n] : 0.0f;
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
    p.skip[c] = inside ? a.weights.D[c] : 0.0f;
    p.dt_bias[c] = inside ? a.weights.dt_bias[c] : 0.0f;
    p.conv_bias[c] = inside ? a.weights.conv_bias[c] : 0.0f;
    for (int64_t k = 0; k < s.taps; k++)
      p.conv_weight[k * p.padded + c] = inside ? a.weights.conv_weight[c * s.taps + k] : 0.0f;
  }
}

inline void block_pack(const BlockArgs& a, int64_t part, int64_t parts) {
  const Team team{part, parts};
  for (int64_t tile = team.first(a.packed.tiles); tile < team.last(a.packed.tiles); tile++) pack_tile(a, tile);
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
  conv.batch = 1, conv.length = s.length, conv.taps = s.taps, conv.padded = a.packed.padded, conv.silu = true;
  conv.y_stride = s.inner;
  for (int64_t k = 0; k < kConvBlock; k++) scratch[k] = 0.0f;  // the row before the start
  const int64_t blocks = (s.inner + kConvTask - 1) / kConvTask, tasks = a.batch * blocks;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t c = task % blocks * kConvTask, row = task / blocks * s.length;
    conv.channels = s.inner - c < kConvTask ? s.inner - c : kConvTask;
    conv.x = {a.buffers.xz + row * 2 * s.inner + c, 0, 2 * s.inner};
    conv.weight = a.packed.conv_weight + c, conv.bias = a.packed.conv_bias + c;
    conv.y = a.buffers.u + row * s.inner + c;
    if (s.taps == 4) conv_forward_block<4, float>(conv, 0, 0, scratch);
    else conv_forward_block<0, float>(conv, 0, 0, scratch);
  }
}

MP_INLINE Rows<const float> samples(const float* data, int64_t length, int64_t stride) {
  return {data, length * stride, stride};
}

// Step sizes and scan of the same channels: nobody else reads the step sizes, so there is no barrier between.
inline void scan_stage(const BlockArgs& a, const Team& team, float* scratch) {
  const BlockSizes& s = a.sizes;
  const BlockBuffers& b = a.buffers;
  const int64_t projected = s.rank + 2 * s.states, rows = a.batch * s.length;
  const Gemm dt{b.projected, projected, rows,    s.rank, a.weights.dt_weight, s.inner, b.delta,
                s.inner,     nullptr,   nullptr, false};
  ScanForward<float> scan{};
  scan.batch = a.batch, scan.length = s.length, scan.channels = s.inner, scan.states = s.states,
  scan.tiles = a.packed.tiles;
  scan.u = samples(b.u, s.length, s.inner), scan.delta = samples(b.delta, s.length, s.inner);
  scan.z = samples(b.xz + s.inner, s.length, 2 * s.inner);
  scan.B = samples(b.projected + s.rank, s.length, projected);
  scan.C = samples(b.projected + s.rank + s.states, s.length, projected);
  scan.A = a.packed.A, scan.A_peak = a.packed.A_peak, scan.skip = a.packed.skip, scan.delta_bias = a.packed.dt_bias;
  scan.softplus = true;
  scan.y = b.scanned;
  for (int64_t tile = team.first(scan.tiles); tile < team.last(scan.tiles); tile++) {
    gemm_panel(dt, tile, 0, rows, scratch);
    for (int64_t sample = 0; sample < a.batch; sample++) run_tile<ForwardTile, float>(scan, sample, tile, scratch);
  }
}

// out = x W^T (+ bias) (+ residual), all of them row after row without gaps; ends with a barrier.
inline void product(const Team& team, int64_t rows, const float* x, int64_t depth, const float* weight, int64_t columns,
                    float* out, float* scratch, const float* bias = nullptr, const float* residual = nullptr,
                    bool gelu = false) {
  gemm_stage({x, depth, rows, depth, weight, columns, out, columns, bias, residual, gelu}, team, scratch);
  team.wait();
}

// With parts == 1 the parameters have been packed before.
inline void block_forward(const BlockArgs& a, int64_t part, int64_t parts, float* scratch) {
  const Team team{part, parts};
  const BlockSizes& s = a.sizes;
  const BlockWeights& w = a.weights;
  const BlockBuffers& b = a.buffers;
  const int64_t rows = a.batch * s.length;
  if (parts > 1) block_pack(a, part, parts);
  norm_stage(team, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, b.normed);
  team.wait();
  product(team, rows, b.normed, s.model, w.in_proj, 2 * s.inner, b.xz, scratch);
  conv_stage(a, team, scratch);
  team.wait();
  product(team, rows, b.u, s.inner, w.x_proj, s.rank + 2 * s.states, b.projected, scratch);
  scan_stage(a, team, scratch);
  team.wait();
  product(team, rows, b.scanned, s.inner, w.out_proj, s.model, a.y, scratch, nullptr, a.x);
  norm_stage(team, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, b.normed);
  team.wait();
  product(team, rows, b.normed, s.model, w.fc1_weight, s.hidden, b.hidden, scratch, w.fc1_bias, nullptr, true);
  product(team, rows, b.hidden, s.hidden, w.fc2_weight, s.model, a.y, scratch, w.fc2_bias, a.y);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
