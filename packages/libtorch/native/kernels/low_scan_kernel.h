// The selective scan of scan_forward_kernel.h within a block in low precision: step sizes are computed a few steps at a
// time, where the scan reads them from the first-level cache; two states at a time stay in registers for as many steps,
// with factors of low_factor.h; and the gate, which is the same in both directions, is applied to their sum. States,
// step sizes and sums are float32. Included by isa_table.h after low_factor.h.
namespace mamba_prune {
namespace MP_ISA {

// One direction. Rows are in its order.
struct LowScan {
  int64_t length, channels, states, rank;
  Rows<const uint16_t> u, z;     // bfloat16
  Rows<const float> projected;   // [rank + 2 states] of step sizes, B and C
  const float *A, *skip, *bias;  // as in BlockPacked
  Rows<float> y;
  Rows<uint8_t> low_y;  // where the result goes instead, in bfloat16, unless null: rows of low_stride bytes
  int64_t low_stride;
  bool adds;        // to what y holds
  bool gates;       // the result is multiplied with silu(z)
  float sum_scale;  // and with this, if it adds
};

// softplus(W projected + bias) of R steps of a tile, [R, kPanel], whose sums stay in registers; `longest` becomes the
// largest of each channel at least.
template <int R> MP_INLINE void low_some_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t step,
                                               const float* panel, float* dt, VF* longest) {
  const float* from[R];
  VF sum[R][2];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++) {
    from[r] = a.projected.at(sample, step + r);
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) sum[r][v] = load(a.bias + tile * kPanel + v * kWidth);
  }
  for (int64_t k = 0; k < a.rank; k++) {
    const VF weight[2] = {load(panel + k * kPanel), load(panel + k * kPanel + kWidth)};
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < 2; v++) sum[r][v] += weight[v] * from[r][k];
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < 2; v++) {
      const VF size = softplus_low(sum[r][v]);
      longest[v] = max(longest[v], size);
      store<float>(dt + r * kPanel + v * kWidth, size);
    }
}

// The same of `steps` steps.
inline void low_step_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t first, int64_t steps,
                           const float* panel, float* dt, VF* longest) {
  VF most[2] = {};
  int64_t t = 0;
  for (; t + 8 <= steps; t += 8) low_some_sizes<8>(a, sample, tile, first + t, panel, dt + t * kPanel, most);
  for (; t < steps; t++) low_some_sizes<1>(a, sample, tile, first + t, panel, dt + t * kPanel, most);
  longest[0] = most[0], longest[1] = most[1];
}

// Some steps of a tile: [steps, kPanel] of the step sizes, of these times u, and of the output before the gate, to
// which every state adds its part.
struct LowSteps {
  int64_t count;
  const float *dt, *input;
  float* y;
  const float *B, *C;  // of the first state and step
  int64_t stride;      // to the next step's
};

// G states of NV registers of channels, which stay in registers for all steps, and what their factors are computed
// from does too. `A` and `h` are the states' rows of kPanel.
template <int NV, int G, int Degree> void low_scan_states(const LowSteps& g, const float* A, float* h) {
  Factor<Degree> factor[G][NV];
  VF state[G][NV];
#pragma GCC unroll 4
  for (int n = 0; n < G; n++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
      factor[n][v].prepare(load(A + n * kPanel + v * kWidth));
      state[n][v] = load<float>(h + n * kPanel + v * kWidth);
    }
  const float *dt = g.dt, *input = g.input, *B = g.B, *C = g.C;
  const int64_t stride = g.stride;
  float *y = g.y, *const last = y + g.count * kPanel;
  for (; y != last; dt += kPanel, input += kPanel, y += kPanel, B += stride, C += stride)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
      const VF step = load(dt + v * kWidth), in = load(input + v * kWidth);
      VF sum = load<float>(y + v * kWidth);
#pragma GCC unroll 4
      for (int n = 0; n < G; n++) {
        state[n][v] = factor[n][v].at(step) * state[n][v] + in * B[n];
        sum += state[n][v] * C[n];
      }
      store<float>(y + v * kWidth, sum);
    }
#pragma GCC unroll 4
  for (int n = 0; n < G; n++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) store<float>(h + n * kPanel + v * kWidth, state[n][v]);
}

// A tile of NV registers of channels.
template <int NV, bool Tail> struct LowScanTile {
  template <int G> static void scan(const LowSteps& g, const VF* longest, const float* A, float* h) {
    VF most{};
    for (int v = 0; v < NV; v++)
      for (int n = 0; n < G; n++) most = max(most, abs<float>(load(A + n * kPanel + v * kWidth)) * longest[v]);
    switch (degree_for(most)) {
      case 2: return low_scan_states<NV, G, 2>(g, A, h);
      case 3: return low_scan_states<NV, G, 3>(g, A, h);
      case 4: return low_scan_states<NV, G, 4>(g, A, h);
      case 5: return low_scan_states<NV, G, 5>(g, A, h);
      default: return low_scan_states<NV, G, kAnyFactor>(g, A, h);
    }
  }

  static MP_INLINE void finish(const LowScan& a, VF y, int64_t sample, int64_t t, int64_t column) {
    const int64_t left = a.channels - column;
    float* out = a.y.at(sample, t) + column;
    if (a.adds) y = (y + load_n<Tail>(out, left)) * a.sum_scale;
    if (a.gates) y *= silu_low(load_bf16(a.z.at(sample, t) + column));
    if (!a.low_y.data) return store_n<Tail>(out, y, left);
    store_bf16<Tail>(a.low_y.at(sample, t), a.low_stride, column, round_bf16(keep_lanes<Tail>(y, left)), left);
  }

  // `scratch` has room for low_block_scratch, but for the weights of step sizes.
  static void run(const LowScan& a, int64_t sample, int64_t tile, const float* panel, float* scratch) {
    constexpr int64_t chunk = kScanChunk * kPanel;
    float *dt = scratch, *input = dt + chunk, *y = input + chunk, *h = y + chunk;
    const int64_t c0 = tile * kPanel;
    const float *A = a.A + tile * a.states * kPanel, *skip = a.skip + c0;
    for (int64_t i = 0; i < a.states * kPanel; i += kWidth) store<float>(h + i, VF{});
    for (int64_t first = 0; first < a.length; first += kScanChunk) {
      const int64_t steps = a.length - first < kScanChunk ? a.length - first : kScanChunk;
      VF longest[2];
      low_step_sizes(a, sample, tile, first, steps, panel, dt, longest);
      for (int64_t t = 0; t < steps; t++)
        for (int v = 0; v < NV; v++) {
          const int64_t at = t * kPanel + v * kWidth;
          const VF value = load_bf16(a.u.at(sample, first + t) + c0 + v * kWidth);
          store<float>(input + at, load<float>(dt + at) * value);
          store<float>(y + at, load(skip + v * kWidth) * value);
        }
      const float* B = a.projected.at(sample, first) + a.rank;
      LowSteps g{steps, dt, input, y, B, B + a.states, a.projected.step_stride};
      int64_t n = 0;
      for (; n + 2 <= a.states; n += 2, g.B += 2, g.C += 2) scan<2>(g, longest, A + n * kPanel, h + n * kPanel);
      if (n < a.states) scan<1>(g, longest, A + n * kPanel, h + n * kPanel);
      for (int64_t t = 0; t < steps; t++)
        for (int v = 0; v < NV; v++)
          finish(a, load<float>(y + t * kPanel + v * kWidth), sample, first + t, c0 + v * kWidth);
    }
  }
};

inline void low_scan_tile(const LowScan& a, int64_t sample, int64_t tile, const float* panel, float* scratch) {
  const int64_t width = a.channels - tile * kPanel;
  if (width >= kPanel) LowScanTile<2, false>::run(a, sample, tile, panel, scratch);
  else if (width > kWidth) LowScanTile<2, true>::run(a, sample, tile, panel, scratch);
  else LowScanTile<1, true>::run(a, sample, tile, panel, scratch);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
