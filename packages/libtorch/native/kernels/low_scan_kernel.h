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
  bool near_one;    // factors that are near 1 are computed in fewer instructions, which helps where units are few
};

// softplus(W projected + bias) of R steps of a tile, [R, kPanel]; `longest` becomes the largest at least.
template <int R> MP_INLINE void low_some_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t step,
                                               const float* panel, float* dt, VF& longest) {
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
      longest = max(size, longest);
      store<float>(dt + r * kPanel + v * kWidth, size);
    }
}

// The same of `steps` steps. Returns the largest.
inline float low_step_sizes(const LowScan& a, int64_t sample, int64_t tile, int64_t first, int64_t steps,
                            const float* panel, float* dt) {
  VF longest{};
  int64_t t = 0;
  for (; t + 8 <= steps; t += 8) low_some_sizes<8>(a, sample, tile, first + t, panel, dt + t * kPanel, longest);
  for (; t < steps; t++) low_some_sizes<1>(a, sample, tile, first + t, panel, dt + t * kPanel, longest);
  return _mm512_reduce_max_ps(longest);
}

// What a tile of a direction computes its factors 2^(dt A) from. States are taken in an order in which their largest
// |A| rises, so that those of which the factors are near 1 come first.
struct LowScanStates {
  const float* A;  // as in BlockPacked, of the tile
  float* powers;   // [states, 3, kPanel]: the coefficients of dt, dt^2 and dt^3 in 2^(dt A) where dt A is from -1 to 0
  float* peaks;    // [states], in the order: the largest |A|
  int32_t* order;  // [states]
};
constexpr int kLowPowers = 3;

// Where they lie in `memory`, which has room for low_scan_factors.
MP_INLINE LowScanStates low_scan_states(const float* A, int64_t states, float* memory) {
  float* peaks = memory + states * kLowPowers * kPanel;
  return {A, memory, peaks, reinterpret_cast<int32_t*>(peaks + states)};
}

inline void low_pack_states(const LowScanStates& s, int64_t states) {
  // Half of exp2_low's polynomial at 1 + x.
  constexpr float q[kLowPowers] = {6.914217950e-01f, 2.305557970e-01f, 3.913398509e-02f};
  for (int64_t n = 0; n < states; n++) {
    VF most{};
    for (int64_t c = 0; c < kPanel; c += kWidth) {
      const VF each = load(s.A + n * kPanel + c);
      VF power = each;
      for (int k = 0; k < kLowPowers; k++, power *= each)
        store<float>(s.powers + (n * kLowPowers + k) * kPanel + c, power * q[k]);
      most = max(abs<float>(each), most);
    }
    const float peak = _mm512_reduce_max_ps(most);
    int64_t at = n;
    for (; at > 0 && s.peaks[at - 1] > peak; at--) s.peaks[at] = s.peaks[at - 1], s.order[at] = s.order[at - 1];
    s.peaks[at] = peak, s.order[at] = static_cast<int32_t>(n);
  }
}

// A tile of NV registers of channels, N states (0: known at run time only).
template <int NV, bool Tail, int N> struct LowScanTile {
  // T steps: step sizes, and these times u; B and C; the output before skip and gate.
  template <int T> struct Steps {
    VF step[T][NV], input[T][NV], y[T][NV];
    const float *B[T], *C[T];
  };

  // All states of one step.
  static MP_INLINE void any(int64_t states, const float* A, Steps<1>& s, float* h) {
#pragma GCC unroll 2
    for (int64_t n = 0; n < states; n++)
      for (int v = 0; v < NV; v++) {
        float* state = h + n * kPanel + v * kWidth;
        const VF next =
            exp2_low(s.step[0][v] * load(A + n * kPanel + v * kWidth)) * load<float>(state) + s.input[0][v] * s.B[0][n];
        store<float>(state, next);
        s.y[0][v] += next * s.C[0][n];
      }
  }

  // A state's factor. Squared: it is computed at a half of its logarithm, or a quarter, and squared as often; negative:
  // for any logarithm.
  template <int Squared> static MP_INLINE VF factor(VF step, const float* A, const float* powers) {
    if (Squared < 0) return exp2_low(step * load(A));
    VF f = step * (step * (step * load(powers + 2 * kPanel) + load(powers + kPanel)) + load(powers)) + 1.0f;
    for (int i = 0; i < Squared; i++) f *= f;
    return f;
  }

  // States [from, to) of the order. What a state's factor is computed from is read once for all T steps.
  template <int Squared, int T>
  static MP_INLINE void some(const LowScanStates& s, int64_t from, int64_t to, Steps<T>& steps, float* h) {
    if (from >= to) return;
    constexpr float part = Squared > 0 ? 1.0f / (1 << (Squared > 0 ? Squared : 0)) : 1.0f;
    VF step[T][NV];
    for (int t = 0; t < T; t++)
      for (int v = 0; v < NV; v++) step[t][v] = steps.step[t][v] * part;
    for (int64_t i = from; i < to; i++) {
      const int64_t n = s.order[i];
      const float *A = s.A + n * kPanel, *powers = s.powers + n * kLowPowers * kPanel;
#pragma GCC unroll 2
      for (int v = 0; v < NV; v++) {
        float* place = h + n * kPanel + v * kWidth;
        VF state = load<float>(place);
#pragma GCC unroll 2
        for (int t = 0; t < T; t++) {
          const VF kept = factor<Squared>(step[t][v], A + v * kWidth, powers + v * kWidth);
          state = kept * state + steps.input[t][v] * steps.B[t][n];
          steps.y[t][v] += state * steps.C[t][n];
        }
        store<float>(place, state);
      }
    }
  }

  // How many states, in their order, have |dt A| up to 1, 2 and 4 in all steps of a chunk.
  struct Reach {
    int64_t count[3] = {};
    Reach(const LowScanStates& s, int64_t states, float step) {
      int64_t i = 0;
      for (int k = 0; k < 3; k++) {
        for (; i < states && s.peaks[i] * step <= static_cast<float>(1 << k);) i++;
        count[k] = i;
      }
    }
  };

  // Where a step's numbers lie, from the tile's first channel on.
  struct Place {
    const uint16_t *u, *z;
    const float* projected;
    float* y;
    uint8_t* low_y;
    Place(const LowScan& a, int64_t sample, int64_t t, int64_t c0)
        : u(a.u.at(sample, t) + c0),
          z(a.z.at(sample, t) + c0),
          projected(a.projected.at(sample, t) + a.rank),
          y(a.y.at(sample, t) + c0),
          low_y(a.low_y.data ? a.low_y.at(sample, t) : nullptr) {}
    MP_INLINE void next(const LowScan& a) {
      u += a.u.step_stride, z += a.z.step_stride, projected += a.projected.step_stride, y += a.y.step_stride;
      if (low_y) low_y += a.low_y.step_stride;
    }
  };

  static MP_INLINE void finish(const LowScan& a, VF y, const Place& at, int64_t c0, int64_t column) {
    const int64_t left = a.channels - c0 - column;
    if (a.adds) y = (y + load_n<Tail>(at.y + column, left)) * a.sum_scale;
    if (a.gates) y *= silu_low(load_bf16(at.z + column));
    if (!at.low_y) return store_n<Tail>(at.y + column, y, left);
    store_bf16<Tail>(at.low_y, a.low_stride, c0 + column, round_bf16(keep_lanes<Tail>(y, left)), left);
  }

  // T steps, of which `dt` are the sizes and `at` the first; without `reach` no state's factors are known to be near 1.
  template <int T> static MP_INLINE void advance(const LowScan& a, const LowScanStates& s, const Reach* reach,
                                                 Place& at, int64_t c0, const float* dt, float* h) {
    const int64_t states = N ? N : a.states;
    Steps<T> steps;
    VF value[T][NV];
    for (int i = 0; i < T; i++) {
      steps.B[i] = at.projected + i * a.projected.step_stride, steps.C[i] = steps.B[i] + states;
      for (int v = 0; v < NV; v++) {
        value[i][v] = load_bf16(at.u + i * a.u.step_stride + v * kWidth);
        steps.step[i][v] = load(dt + i * kPanel + v * kWidth);
        steps.input[i][v] = steps.step[i][v] * value[i][v];
        steps.y[i][v] = VF{};
      }
    }
    if constexpr (T == 1) {
      if (!reach) any(states, s.A, steps, h);
    }
    if (reach) {
      some<0, T>(s, 0, reach->count[0], steps, h);
      some<1, T>(s, reach->count[0], reach->count[1], steps, h);
      some<2, T>(s, reach->count[1], reach->count[2], steps, h);
      some<-1, T>(s, reach->count[2], states, steps, h);
    }
    for (int i = 0; i < T; i++, at.next(a))
      for (int v = 0; v < NV; v++)
        finish(a, steps.y[i][v] + load(a.skip + c0 + v * kWidth) * value[i][v], at, c0, v * kWidth);
  }

  // `scratch` has room for low_scan_scratch.
  static void run(const LowScan& a, const LowScanStates& s, int64_t sample, int64_t tile, const float* panel,
                  float* scratch) {
    float *dt = scratch, *h = dt + kScanChunk * kPanel;
    const int64_t states = N ? N : a.states, c0 = tile * kPanel;
    for (int64_t i = 0; i < states * kPanel; i += kWidth) store<float>(h + i, VF{});
    for (int64_t first = 0; first < a.length; first += kScanChunk) {
      const int64_t steps = a.length - first < kScanChunk ? a.length - first : kScanChunk;
      const float longest = low_step_sizes(a, sample, tile, first, steps, panel, dt);
      Place at(a, sample, first, c0);
      int64_t t = 0;
      if (a.near_one) {
        const Reach reach(s, states, longest);
        if (reach.count[2] > 0) {
          for (; t + 2 <= steps; t += 2) advance<2>(a, s, &reach, at, c0, dt + t * kPanel, h);
          if (t < steps) advance<1>(a, s, &reach, at, c0, dt + t * kPanel, h), t++;
        }
      }
      for (; t < steps; t++) advance<1>(a, s, nullptr, at, c0, dt + t * kPanel, h);
    }
  }
};

template <int N> void low_scan_tile_n(const LowScan& a, const LowScanStates& s, int64_t sample, int64_t tile,
                                      const float* panel, float* scratch) {
  const int64_t width = a.channels - tile * kPanel;
  if (width >= kPanel) LowScanTile<2, false, N>::run(a, s, sample, tile, panel, scratch);
  else if (width > kWidth) LowScanTile<2, true, N>::run(a, s, sample, tile, panel, scratch);
  else LowScanTile<1, true, N>::run(a, s, sample, tile, panel, scratch);
}

inline void low_scan_tile(const LowScan& a, const LowScanStates& s, int64_t sample, int64_t tile, const float* panel,
                          float* scratch) {
  if (a.states == 16) low_scan_tile_n<16>(a, s, sample, tile, panel, scratch);
  else if (a.states == 8) low_scan_tile_n<8>(a, s, sample, tile, panel, scratch);
  else low_scan_tile_n<0>(a, s, sample, tile, panel, scratch);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
