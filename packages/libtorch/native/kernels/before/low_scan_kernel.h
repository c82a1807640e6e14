// The selective scan of scan_forward_kernel.h within a block in low precision: step sizes are computed a few steps at a
// time, where the scan reads them from the first-level cache; exponentials are low_math.h's; and the gate, which is the
// same in both directions, is applied to their sum. States, step sizes and sums are float32.
// Included by isa_table.h after low_math.h.
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

// softplus(W projected + bias) of R steps of a tile, [R, kPanel], whose sums stay in registers.
template <int R> MP_INLINE void low_some_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t step,
                                               const float* panel, float* dt) {
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
    for (int v = 0; v < 2; v++) store<float>(dt + r * kPanel + v * kWidth, softplus_low(sum[r][v]));
}

// The same of `steps` steps.
inline void low_step_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t first, int64_t steps,
                           const float* panel, float* dt) {
  int64_t t = 0;
  for (; t + 8 <= steps; t += 8) low_some_sizes<8>(a, sample, tile, first + t, panel, dt + t * kPanel);
  for (; t < steps; t++) low_some_sizes<1>(a, sample, tile, first + t, panel, dt + t * kPanel);
}

// A tile of NV registers of channels, N states (0: known at run time only).
template <int NV, bool Tail, int N> struct LowScanTile {
  // One step; y is the output before skip and gate.
  static MP_INLINE void scan(int64_t states, const VF* step, const VF* input, const float* A, const float* B,
                             const float* C, float* h, VF* y) {
    for (int v = 0; v < NV; v++) y[v] = VF{};
#pragma GCC unroll 2
    for (int64_t n = 0; n < states; n++)
      for (int v = 0; v < NV; v++) {
        float* state = h + n * kPanel + v * kWidth;
        const VF next = exp2_low(step[v] * load(A + n * kPanel + v * kWidth)) * load<float>(state) + input[v] * B[n];
        store<float>(state, next);
        y[v] += next * C[n];
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

  // `scratch` has room for low_scan_scratch.
  static void run(const LowScan& a, int64_t sample, int64_t tile, const float* panel, float* scratch) {
    float *dt = scratch, *h = dt + kScanChunk * kPanel;
    const int64_t states = N ? N : a.states, c0 = tile * kPanel;
    const float *A = a.A + tile * states * kPanel, *skip = a.skip + c0;
    for (int64_t i = 0; i < states * kPanel; i += kWidth) store<float>(h + i, VF{});
    for (int64_t first = 0; first < a.length; first += kScanChunk) {
      const int64_t steps = a.length - first < kScanChunk ? a.length - first : kScanChunk;
      low_step_sizes(a, sample, tile, first, steps, panel, dt);
      for (int64_t t = 0; t < steps; t++) {
        const uint16_t* u = a.u.at(sample, first + t) + c0;
        const float *B = a.projected.at(sample, first + t) + a.rank, *C = B + states;
        VF value[NV], step[NV], input[NV], y[NV];
        for (int v = 0; v < NV; v++) {
          value[v] = load_bf16(u + v * kWidth);
          step[v] = load(dt + t * kPanel + v * kWidth);
          input[v] = step[v] * value[v];
        }
        scan(states, step, input, A, B, C, h, y);
        for (int v = 0; v < NV; v++)
          finish(a, y[v] + load(skip + v * kWidth) * value[v], sample, first + t, c0 + v * kWidth);
      }
    }
  }
};

template <int N>
void low_scan_tile_n(const LowScan& a, int64_t sample, int64_t tile, const float* panel, float* scratch) {
  const int64_t width = a.channels - tile * kPanel;
  if (width >= kPanel) LowScanTile<2, false, N>::run(a, sample, tile, panel, scratch);
  else if (width > kWidth) LowScanTile<2, true, N>::run(a, sample, tile, panel, scratch);
  else LowScanTile<1, true, N>::run(a, sample, tile, panel, scratch);
}

inline void low_scan_tile(const LowScan& a, int64_t sample, int64_t tile, const float* panel, float* scratch) {
  if (a.states == 16) low_scan_tile_n<16>(a, sample, tile, panel, scratch);
  else if (a.states == 8) low_scan_tile_n<8>(a, sample, tile, panel, scratch);
  else low_scan_tile_n<0>(a, sample, tile, panel, scratch);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
