// The block of block_kernel.h with its matrices in low precision.
// Included by isa_table.h after block_kernel.h, low_scan_kernel.h and low_stage.h.
namespace mamba_prune {
namespace MP_ISA {

// The convolution of one direction in bfloat16: rows of x, and what becomes of them.
struct LowConv {
  const uint16_t* x;  // the first row in the direction's order
  int64_t x_stride;   // to the next, in numbers
  uint8_t* y;
  int64_t y_stride, row_bytes;
  int64_t channels, taps;
  const BlockPacked* packed;
};

// 16 channels from `c` on of low_conv_rows. Tail: some of them, or of those up to the next 32nd, are missing. K taps,
// of which the last K - 1 rows stay in registers (0: known at run time only).
template <int K, bool Tail> struct LowConvChannels {
  const LowConv& g;
  const int64_t taps, c, left;
  const uint16_t* x;
  uint8_t* y;
  float* exact;
  int64_t exact_stride;
  VF bias, weight[kConvMaxTaps], seen[kConvMaxTaps];

  MP_INLINE LowConvChannels(const LowConv& g, int64_t c, int64_t begin, float* plain, int64_t plain_stride)
      : g(g),
        taps(K ? K : g.taps),
        c(c),
        left(g.channels - c),
        x(g.x + c + begin * g.x_stride),
        y(g.y + begin * g.y_stride),
        exact(plain ? plain + c : nullptr),
        exact_stride(plain_stride),
        bias(load(g.packed->conv_bias + c)) {
#pragma GCC unroll 8
    for (int64_t k = 0; k < taps; k++) weight[k] = load(g.packed->conv_weight + k * g.packed->padded + c);
#pragma GCC unroll 8
    for (int64_t k = 1; k < taps; k++) seen[k] = begin - taps + k < 0 ? VF{} : load_bf16(x + (k - taps) * g.x_stride);
  }

  MP_INLINE void row() {
    VF sum = bias;
#pragma GCC unroll 8
    for (int64_t k = 0; k + 1 < taps; k++) seen[k] = seen[k + 1], sum += weight[k] * seen[k];
    seen[taps - 1] = load_bf16(x);
    const VF value = silu_low(sum + weight[taps - 1] * seen[taps - 1]);
    if (exact) store<float>(exact, value), exact += exact_stride;
    store_bf16<Tail>(y, g.row_bytes, c, round_bf16(keep_lanes<Tail>(value, left)), left);
    x += g.x_stride, y += g.y_stride;
  }

  // With as many rows at a time as there are taps no row moves from register to register.
  MP_INLINE void run(int64_t rows) {
    if constexpr (K > 0)
      for (; rows >= K; rows -= K)
#pragma GCC unroll 8
        for (int i = 0; i < K; i++) row();
    for (; rows > 0; rows--) row();
  }
};

// silu(conv(x)) of rows [begin, end), in the direction's order, of which 0 is a sample's first; in float32 too unless
// `plain` is null. What lies behind the last channel of x is in memory, and left out when a row is stored.
template <int K> void low_conv_rows(const LowConv& g, int64_t begin, int64_t end, float* plain, int64_t plain_stride) {
  int64_t c = 0;
  for (; c + 2 * kWidth <= g.channels; c += kWidth)
    LowConvChannels<K, false>(g, c, begin, plain, plain_stride).run(end - begin);
  for (; c < g.channels; c += kWidth) LowConvChannels<K, true>(g, c, begin, plain, plain_stride).run(end - begin);
}

// The rows of both directions, and the same as x_proj reads them. The second direction begins at a sample's last row.
inline void low_conv_stage(const BlockArgs& a, const Team& team, const LowRows* converted, float* scratch) {
  const BlockSizes& s = a.sizes;
  const int64_t groups = (s.length + kLowConvRows - 1) / kLowConvRows, each = a.batch * groups;
  const int64_t x_row = 2 * bf16_row(2 * s.inner), y_row = 4 * bf16_row(s.inner), plain = round_up(s.inner, 16);
  const bool integers = a.low_x->precision == LowPrecision::int8;
  for (int64_t task = team.first(s.directions * each); task < team.last(s.directions * each); task++) {
    const int64_t d = task / each, sample = task % each / groups, begin = task % groups * kLowConvRows;
    const int64_t end = begin + kLowConvRows < s.length ? begin + kLowConvRows : s.length;
    const int64_t way = d == 0 ? 1 : -1, first = sample * s.length + (d == 0 ? 0 : s.length - 1);
    const LowConv conv{numbers_at(a.buffers.xz) + first * x_row,
                       way * x_row,
                       bytes_at(a.buffers.u[d]) + first * y_row,
                       way * y_row,
                       y_row,
                       s.inner,
                       s.taps,
                       &a.packed[d]};
    float* rows = integers ? scratch : nullptr;
    if (s.taps == 4) low_conv_rows<4>(conv, begin, end, rows, plain);
    else low_conv_rows<0>(conv, begin, end, rows, plain);
    if (!integers) continue;
    for (int64_t t = begin; t < end; t++) {
      const int64_t row = first + way * t;
      a.low_x->convert(scratch + (t - begin) * plain, 0, s.inner, converted[d], row, row + 1);
    }
  }
}

// `result`: where the sum over the directions goes in bfloat16; null for b.scanned.
inline LowScan low_scan_of(const BlockArgs& a, int64_t d, uint8_t* result) {
  const BlockSizes& s = a.sizes;
  const BlockBuffers& b = a.buffers;
  const BlockPacked& p = a.packed[d];
  const bool last = d == s.directions - 1;
  LowScan scan{s.length, s.inner, s.states, s.rank};
  scan.u = in_order<const uint16_t>(numbers_at(b.u[d]), s.length, 2 * bf16_row(s.inner), d);
  scan.z = in_order<const uint16_t>(numbers_at(b.xz) + s.inner, s.length, 2 * bf16_row(2 * s.inner), d);
  scan.projected = in_order<const float>(b.projected[d], s.length, s.rank + 2 * s.states, d);
  scan.A = p.A, scan.skip = p.skip, scan.bias = p.dt_bias;
  scan.y = in_order(b.scanned, s.length, s.inner, d);
  scan.low_stride = 4 * bf16_row(s.inner);
  if (last && result) scan.low_y = in_order(result, s.length, scan.low_stride, d);
  scan.adds = d > 0, scan.gates = last, scan.sum_scale = a.sum_scale;
  return scan;
}

inline void low_scan_stage(const BlockArgs& a, const Team& team, uint8_t* result, float* scratch) {
  const BlockSizes& s = a.sizes;
  const int64_t tiles = a.packed[0].tiles;
  float *panel = scratch, *rest = panel + low_scan_panel(s, kPanel);
  LowScan scans[kMaxDirections];
  for (int64_t d = 0; d < s.directions; d++) scans[d] = low_scan_of(a, d, result);
  for (int64_t tile = team.first(tiles); tile < team.last(tiles); tile++)
    for (int64_t d = 0; d < s.directions; d++) {
      const int64_t c0 = tile * kPanel, valid = s.inner - c0 < kPanel ? s.inner - c0 : kPanel;
      pack_panel(panel, a.weights.scans[d].dt_weight + c0 * s.rank, s.rank, valid, s.rank);
      for (int64_t sample = 0; sample < a.batch; sample++) low_scan_tile(scans[d], sample, tile, panel, rest);
    }
}

// With parts == 1 the parameters have been packed before. `scratch` has room for low_block_scratch.
inline void low_block_forward(const BlockArgs& a, int64_t part, int64_t parts, float* scratch, BlockClock& clock) {
  const Team team{part, parts};
  const BlockSizes& s = a.sizes;
  const BlockWeights& w = a.weights;
  const BlockBuffers& b = a.buffers;
  const LowKernels &kernels = *a.low, &narrow = *a.low_x;
  const int64_t rows = a.batch * s.length, projected = s.rank + 2 * s.states;
  const bool integers = kernels.precision == LowPrecision::int8;
  const LowRows normed = low_rows(kernels.precision, rows, s.model, b.low[0]);
  const LowRows scanned = low_rows(kernels.precision, rows, s.inner, b.low[0]);
  // In bf16 the scan and x_proj read the same.
  LowRows convolved[kMaxDirections] = {scanned, low_rows(kernels.precision, rows, s.inner, b.low[1])};
  if (narrow.precision == LowPrecision::bf16)
    for (int64_t d = 0; d < s.directions; d++) convolved[d] = {bytes_at(b.u[d]), nullptr, nullptr};
  if (parts > 1) block_pack(a, part, parts);
  clock.start();
  low_norm_stage(team, kernels, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, normed, scratch);
  team.wait();
  clock.lap(BlockStage::norm);
  low_multiply_stage(team, kernels,
                     {rows, w.in_proj.low, nullptr, 0, nullptr, nullptr, Activation::none, bytes_at(b.xz)}, normed);
  team.wait();
  clock.lap(BlockStage::in_proj);
  low_conv_stage(a, team, convolved, scratch);
  team.wait();
  clock.lap(BlockStage::conv);
  for (int64_t d = 0; d < s.directions; d++)
    low_multiply_stage(team, narrow, {rows, w.scans[d].x_proj.low, b.projected[d], projected}, convolved[d]);
  team.wait();
  clock.lap(BlockStage::x_proj);
  low_scan_stage(a, team, integers ? nullptr : scanned.values, scratch);
  team.wait();
  if (integers) {
    low_convert_stage(team, kernels, b.scanned, s.inner, rows, scanned);
    team.wait();
  }
  clock.lap(BlockStage::scan);
  low_multiply_stage(team, kernels, {rows, w.out_proj.low, a.y, s.model, nullptr, a.x}, scanned);
  if (s.hidden > 0) team.wait();
  clock.lap(BlockStage::out_proj);
  if (s.hidden == 0) return;
  low_norm_stage(team, kernels, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, normed, scratch);
  team.wait();
  clock.lap(BlockStage::norm);
  const LowMlp mlp{w.fc1_weight.low, w.fc1_bias, w.fc2_weight.low, w.fc2_bias};
  const LowRows activated = low_rows(kernels.precision, rows, s.hidden, b.low[1]);
  low_fc1_stage(team, kernels, rows, mlp, normed, b.hidden, activated);
  clock.lap(BlockStage::fc1);
  low_fc2_stage(team, kernels, rows, mlp, activated, a.y);
  clock.lap(BlockStage::fc2);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
