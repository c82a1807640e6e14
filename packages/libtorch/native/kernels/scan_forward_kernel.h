// Selective scan, forward: Gu & Dao 2023 (Mamba), eq. 2 with the discretisation of sec. 3.2,
//
//   dt = softplus(delta + bias),  h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t,  y_t = (C_t . h_t + D u_t) silu(z_t).
//
// As in the paper's "hardware-aware" algorithm nothing of size [batch, length, channels, states] is ever
// stored: a tile of channels walks through time with its states in L1. Vectors run over channels, so no
// horizontal sum is needed: y_t adds the states one after the other.
// Included by isa_*.cc after simd_math.h.
namespace mamba_prune {
namespace MP_ISA {

template <class T> constexpr int kTile = 2 * Simd<T>::width;

// States between the caller's [channels, states] layout and the tile's [states, tile].
template <class T> void load_state(T* h, const T* from, int64_t states, int64_t width) {
  for (int64_t n = 0; n < states; n++)
    for (int64_t c = 0; c < kTile<T>; c++) h[n * kTile<T> + c] = from && c < width ? from[c * states + n] : T(0);
}
template <class T> void save_state(T* to, const T* h, int64_t states, int64_t width) {
  for (int64_t c = 0; c < width; c++)
    for (int64_t n = 0; n < states; n++) to[c * states + n] = h[n * kTile<T> + c];
}
template <class T> MP_INLINE void copy(T* to, const T* from, int64_t count) {
  __builtin_memcpy(to, from, static_cast<size_t>(count) * sizeof(T));
}

// exp(dt A) from dt and A log2(e). InRange: the caller has seen that no product leaves Exp2<T>::limit.
template <bool InRange, class T> MP_INLINE Vec<T> decay_of(Vec<T> dt, Vec<T> A) {
  return InRange ? exp2_product_in_range<T>(dt, A) : exp2<T>(dt * A);
}

// Whether the exponentials of a step's states are a loop of their own, before that of the recurrence. Of 16 registers
// (AVX2) the recurrence's operands leave none for the constants of an exponential, which were read from memory for
// each.
constexpr bool kDecaysApart = MP_BYTES == 32;

// exp(dt A) of all states in one step of NV registers of channels.
template <int NV, bool InRange, class T> MP_INLINE void decays(int64_t states, const T* dt, const T* A, T* decay) {
  constexpr int W = Simd<T>::width;
  Vec<T> step[NV];
  for (int v = 0; v < NV; v++) step[v] = load(dt + v * W);
#pragma GCC unroll 2
  for (int64_t n = 0; n < states; n++)
    for (int v = 0; v < NV; v++) {
      const int64_t i = n * kTile<T> + v * W;
      store<T>(decay + i, decay_of<InRange, T>(step[v], load(A + i)));
    }
}

// Whether |dt A| stays below the limit for a whole chunk (nearly always: dt A is -7 for dt = 0.3 and A = -16); the
// check costs one instruction a step and saves several in each of `states` exponentials. NaN gives false.
template <class T> bool in_range(Vec<T> peak_dt, T peak_A) {
  bool ok = true;
  for (int i = 0; i < Simd<T>::width; i++) ok &= peak_dt[i] * peak_A <= Exp2<T>::limit;
  return ok;
}

// One tile: NV registers of channels, N states (0: known at run time only). Second: its steps are rows of y from the
// last one on, and it adds to what is there.
template <class T, int NV, bool Tail, int N, bool Second> struct ScanTile {
  static constexpr int W = Simd<T>::width;
  static constexpr int tile = kTile<T>;

  // One step; y is the output before skip and gate.
  template <bool InRange> static MP_INLINE void scan(int64_t states, const T* dt, const T* du, const T* A, const T* B,
                                                     const T* C, T* h, T* decay, Vec<T>* y) {
    if constexpr (kDecaysApart) decays<NV, InRange, T>(states, dt, A, decay);
    Vec<T> step[NV], input[NV];
    for (int v = 0; v < NV; v++) step[v] = load(dt + v * W), input[v] = load(du + v * W), y[v] = Vec<T>{};
#pragma GCC unroll 2
    for (int64_t n = 0; n < states; n++) {
      // Read once, which the compiler cannot know between stores.
      const Vec<T> in = splat<T>(B[n]), out = splat<T>(C[n]);
      for (int v = 0; v < NV; v++) {
        const int64_t i = n * tile + v * W;
        const Vec<T> e = kDecaysApart ? load<T>(decay + i) : decay_of<InRange, T>(step[v], load(A + i));
        const Vec<T> next = e * load<T>(h + i) + input[v] * in;
        store<T>(h + i, next);
        y[v] += next * out;
      }
    }
  }

  // A tile's part of a row is a cache line or two, and rows lie far apart, so the processor foresees none of them:
  // those of the next chunk are asked for while this one is worked on.
  static MP_INLINE void ask(const ScanForward<T>& a, int64_t b, int64_t step, int64_t c0) {
    for (int v = 0; v < NV; v++) {
      __builtin_prefetch(a.delta.at(b, step) + c0 + v * W), __builtin_prefetch(a.u.at(b, step) + c0 + v * W);
      if (a.z.data) __builtin_prefetch(a.z.at(b, step) + c0 + v * W);
    }
  }

  // dt and dt u of a chunk's steps; returns the largest |dt| of each lane.
  static MP_INLINE Vec<T> step_sizes(const ScanForward<T>& a, int64_t b, int64_t t_index, int64_t first, int64_t steps,
                                     T* dt, T* du) {
    const int64_t c0 = t_index * tile, valid = a.channels - c0;
    const T* bias = a.delta_bias + c0;
    for (int64_t t = 0; t < steps; t++) {
      const T* delta = a.delta.at(b, a.place(first + t)) + c0;
      for (int v = 0; v < NV; v++) {
        const Vec<T> d = load_n<Tail>(delta + v * W, valid - v * W) + load(bias + v * W);
        store<T>(dt + t * tile + v * W, d);
        if (a.softplus) store<T>(du + t * tile + v * W, exp_for_softplus<T>(d));
      }
    }
    Vec<T> peak{};
    for (int64_t t = 0; t < steps; t++) {
      const T* u = a.u.at(b, a.place(first + t)) + c0;
      for (int v = 0; v < NV; v++) {
        T *to = dt + t * tile + v * W, *to_u = du + t * tile + v * W;
        Vec<T> d = load<T>(to);
        if (a.softplus) d = softplus<T>(d, load<T>(to_u)).value;
        peak = max(peak, abs<T>(d));
        store<T>(to, d);
        store<T>(to_u, d * load_n<Tail>(u + v * W, valid - v * W));
      }
    }
    return peak;
  }

  // silu(z) of a chunk's steps.
  static MP_INLINE void open_gates(const ScanForward<T>& a, int64_t b, int64_t t_index, int64_t first, int64_t steps,
                                   T* gates) {
    const int64_t c0 = t_index * tile, valid = a.channels - c0;
    for (int64_t t = 0; t < steps; t++) {
      const T* from = a.z.at(b, a.place(first + t)) + c0;
      for (int v = 0; v < NV; v++) {
        const Vec<T> z = load_n<Tail>(from + v * W, valid - v * W);
        store<T>(gates + t * tile + v * W, z * sigmoid<T>(z));
      }
    }
  }

  static void run(const ScanForward<T>& a, int64_t b, int64_t t_index, T* scratch) {
    T *dt = scratch, *du = dt + kScanChunk * tile, *gates = du + kScanChunk * tile, *h = gates + kScanChunk * tile;
    T* decay = h + a.states * tile;
    const int64_t states = N ? N : a.states, c0 = t_index * tile, width = a.channels - c0;
    const int64_t valid = width < tile ? width : tile;
    const int64_t chunks = scan_chunks(a.length);
    const T *A = a.A + t_index * states * tile, *skip = a.skip + c0;
    load_state<T>(h, a.initial ? a.initial + (b * a.channels + c0) * states : nullptr, states, valid);
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
      const int64_t first = chunk * kScanChunk;
      const int64_t steps = a.length - first < kScanChunk ? a.length - first : kScanChunk;
      if (chunk > 0 && a.checkpoints)
        copy(a.checkpoints + ((b * a.tiles + t_index) * (chunks - 1) + chunk - 1) * states * tile, h, states * tile);
      // Step sizes and gates first, for the whole chunk: independent loads and long divisions overlap here, and would
      // stall the recurrence below.
      const Vec<T> peak = step_sizes(a, b, t_index, first, steps, dt, du);
      if (a.z.data) open_gates(a, b, t_index, first, steps, gates);
      const bool fast = in_range<T>(peak, a.A_peak[t_index]);
      for (int64_t t = 0; t < steps; t++) {
        const int64_t at = a.place(first + t);
        if (first + kScanChunk + t < a.length) ask(a, b, a.place(first + kScanChunk + t), c0);
        const T *B = a.B.at(b, at), *C = a.C.at(b, at), *dt_t = dt + t * tile, *du_t = du + t * tile;
        Vec<T> y[NV];
        if (fast) scan<true>(states, dt_t, du_t, A, B, C, h, decay, y);
        else scan<false>(a.states, dt_t, du_t, A, B, C, h, decay, y);
        const T* u = a.u.at(b, at) + c0;
        T* out = a.y + (b * a.length + (Second ? a.length - 1 - at : at)) * a.channels + c0;
        for (int v = 0; v < NV; v++) {
          y[v] += load(skip + v * W) * load_n<Tail>(u + v * W, valid - v * W);
          if (a.z.data) y[v] *= load(gates + t * tile + v * W);
          if (Second) y[v] = (load_n<Tail>(out + v * W, valid - v * W) + y[v]) * a.sum_scale;
          else if (a.adds) y[v] += load_n<Tail>(out + v * W, valid - v * W);
          store_n<Tail>(out + v * W, y[v], valid - v * W);
        }
      }
    }
    if (a.last) save_state<T>(a.last + (b * a.channels + c0) * states, h, states, valid);
  }
};

template <class T, int NV, bool Tail, int N> using ForwardTile = ScanTile<T, NV, Tail, N, false>;
template <class T, int NV, bool Tail, int N> using SecondTile = ScanTile<T, NV, Tail, N, true>;

// Calls Kernel<T, NV, Tail, N>::run for a tile: full tiles need no masks, narrow ones one register; the
// usual state counts are compiled with a known trip count.
template <template <class, int, bool, int> class Kernel, class T, int N, class Args>
void run_tile_n(const Args& a, int64_t b, int64_t tile, T* scratch) {
  const int64_t width = a.channels - tile * kTile<T>;
  if (width >= kTile<T>) Kernel<T, 2, false, N>::run(a, b, tile, scratch);
  else if (width > Simd<T>::width) Kernel<T, 2, true, N>::run(a, b, tile, scratch);
  else Kernel<T, 1, true, N>::run(a, b, tile, scratch);
}
template <template <class, int, bool, int> class Kernel, class T, class Args>
void run_tile(const Args& a, int64_t b, int64_t tile, T* scratch) {
  // float64 is for gradient checks: not worth the compile time.
  constexpr bool fixed = sizeof(T) == 4;
  if (fixed && a.states == 16) run_tile_n<Kernel, T, fixed ? 16 : 0>(a, b, tile, scratch);
  else if (fixed && a.states == 8) run_tile_n<Kernel, T, fixed ? 8 : 0>(a, b, tile, scratch);
  else run_tile_n<Kernel, T, 0>(a, b, tile, scratch);
}

// Tasks [begin, end) of batch * tiles.
template <class T> void scan_forward(const ScanForward<T>& a, int64_t begin, int64_t end, T* scratch) {
  for (int64_t task = begin; task < end; task++) run_tile<ForwardTile, T>(a, task / a.tiles, task % a.tiles, scratch);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
