// Selective scan, backward. Going back in time, with g_t the gradient of h_t,
//
//   g_t = C_t gy_t + exp(dt_{t+1} A) g_{t+1},
//   d(dt_t u_t) += sum_n g_t B_t,   dB_t += sum_c g_t dt_t u_t,   dC_t += sum_c gy_t h_t,
//   d(dt_t A)    = g_t exp(dt_t A) h_{t-1}.
//
// States are recomputed as in the paper (sec. 3.3.2): a chunk of steps restarts from the state that the
// forward pass stored, and keeps exp(dt A) and every state in cache for the walk back, which is
// cheaper than a second exp. Sums over channels (dB, dC) are collected as one register per state and
// turned into rows by a transposing tree. Included by isa_*.cc after scan_forward_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// to[0..states) += the row sums of rows [states rounded up to W, W].
template <class T> MP_INLINE void add_row_sums(T* to, const T* rows, int64_t states) {
  constexpr int W = Simd<T>::width;
  for (int64_t n = 0; n < states; n += W)
    store_n<true>(to + n, load_n<true>(to + n, states - n) + sum_rows<T>(rows + n * W), states - n);
}

template <class T, int NV, bool Tail, int N> struct BackwardTile {
  static constexpr int W = Simd<T>::width;
  static constexpr int tile = kTile<T>;

  // Working memory. Plain sums of offsets, so that every pointer can stay in a register.
  struct Scratch {
    T* const start;
    const int64_t states;
    int64_t history() const { return kScanChunk * states * tile; }
    T* decay() const { return start; }          // [chunk, states, tile]: exp(dt A)
    T* h() const { return start + history(); }  // [chunk + 1, states, tile]: states before and after a step
    T* dt() const { return h() + history() + states * tile; }  // [chunk, tile]: step
    T* slope() const { return dt() + kScanChunk * tile; }      // [chunk, tile]: its derivative by delta
    T* u() const { return slope() + kScanChunk * tile; }       // [chunk, tile]
    T* gy() const { return u() + kScanChunk * tile; }          // [chunk, tile]: gradient before the gate
    T* gz() const { return gy() + kScanChunk * tile; }         // [chunk, tile]: factor of the gradient of z
    T* g() const { return gz() + kScanChunk * tile; }          // [states, tile]: exp(dt_{t+1} A) g_{t+1}
    T* sums() const { return g() + states * tile; }            // [states + 2, tile]: dA, dD, dbias of the batch slice
    T* rows() const { return sums() + (states + 2) * tile; }   // [states rounded up, W]
  };

  // Forward through one step, keeping its history; y is the output before skip and gate.
  template <bool InRange> static MP_INLINE void recompute(const Scratch& s, int64_t t, int64_t states, const T* A,
                                                          const T* B, const T* C, Vec<T>* y) {
    T *decay = s.decay() + t * states * tile, *before = s.h() + t * states * tile, *after = before + states * tile,
      *rows = s.rows();
    if constexpr (kDecaysApart) decays<NV, InRange, T>(states, s.dt() + t * tile, A, decay);
    Vec<T> step[NV], input[NV], gy[NV];
    for (int v = 0; v < NV; v++) {
      step[v] = load(s.dt() + t * tile + v * W), gy[v] = load(s.gy() + t * tile + v * W);
      input[v] = step[v] * load(s.u() + t * tile + v * W), y[v] = Vec<T>{};
    }
#pragma GCC unroll 2
    for (int64_t n = 0; n < states; n++) {
      Vec<T> grad_C{};
      // Read once, which the compiler cannot know between stores.
      const Vec<T> in = splat<T>(B[n]), out = splat<T>(C[n]);
      for (int v = 0; v < NV; v++) {
        const int64_t i = n * tile + v * W;
        const Vec<T> e = kDecaysApart ? load<T>(decay + i) : decay_of<InRange, T>(step[v], load(A + i));
        const Vec<T> h = e * load<T>(before + i) + input[v] * in;
        if constexpr (!kDecaysApart) store<T>(decay + i, e);
        store<T>(after + i, h);
        y[v] += h * out;
        grad_C += h * gy[v];
      }
      store<T>(rows + n * W, grad_C);
    }
  }

  // One step back. On return input_grad = d(dt u) and decay_grad = sum_n d(dt A) A log2(e).
  static MP_INLINE void reverse(const Scratch& s, int64_t t, int64_t states, const T* A, const T* B, const T* C,
                                Vec<T>* input_grad, Vec<T>* decay_grad) {
    Vec<T> step[NV], input[NV], gy[NV];
    for (int v = 0; v < NV; v++) {
      step[v] = load(s.dt() + t * tile + v * W), gy[v] = load(s.gy() + t * tile + v * W);
      input[v] = step[v] * load(s.u() + t * tile + v * W);
      input_grad[v] = decay_grad[v] = Vec<T>{};
    }
    const T *decay = s.decay() + t * states * tile, *before = s.h() + t * states * tile;
    T *later = s.g(), *grad_A = s.sums(), *rows = s.rows();
#pragma GCC unroll 2
    for (int64_t n = 0; n < states; n++) {
      Vec<T> grad_B{};
      for (int v = 0; v < NV; v++) {
        const int64_t i = n * tile + v * W;
        const Vec<T> g = gy[v] * C[n] + load<T>(later + i);
        const Vec<T> decayed = g * load(decay + i), q = decayed * load(before + i);
        store<T>(later + i, decayed);
        grad_B += g * input[v];
        input_grad[v] += g * B[n];
        decay_grad[v] += q * load(A + i);
        store<T>(grad_A + i, load<T>(grad_A + i) + q * step[v]);
      }
      store<T>(rows + n * W, grad_B);
    }
  }

  // The state before a chunk other than the first.
  static MP_INLINE const T* checkpoint(const ScanBackward<T>& a, int64_t b, int64_t t_index, int64_t chunk,
                                       int64_t states) {
    return a.checkpoints + ((b * a.tiles + t_index) * (scan_chunks(a.length) - 1) + chunk - 1) * states * tile;
  }

  // A tile's part of a row is a cache line or two, and rows lie far apart, so the processor foresees none of them:
  // those of the chunk that comes next are asked for while this one is worked on, a step of it at each step.
  static MP_INLINE void ask(const ScanBackward<T>& a, int64_t b, int64_t step, int64_t c0) {
    for (int v = 0; v < NV; v++) {
      const int64_t c = c0 + v * W;
      __builtin_prefetch(a.delta.at(b, step) + c), __builtin_prefetch(a.u.at(b, step) + c);
      if (a.grad_y.data) __builtin_prefetch(a.grad_y.at(b, step) + c);
      if (a.z.data) __builtin_prefetch(a.z.at(b, step) + c);
    }
  }
  static MP_INLINE void ask_to_write(const ScanBackward<T>& a, int64_t b, int64_t step, int64_t c0) {
    for (int v = 0; v < NV; v++) {
      const int64_t out = (b * a.length + step) * a.channels + c0 + v * W;
      __builtin_prefetch(a.grad_u + out, 1), __builtin_prefetch(a.grad_delta + out, 1);
    }
  }

  // The rows of a chunk's steps; returns the largest |dt| of each lane. In three loops, none of which has a chain of
  // operations so long that the multipliers wait for it.
  static MP_INLINE Vec<T> prepare(const ScanBackward<T>& a, int64_t b, int64_t t_index, int64_t first, int64_t steps,
                                  const Scratch& s) {
    const int64_t c0 = t_index * tile, valid = a.channels - c0;
    const T* bias = a.delta_bias + c0;
    for (int64_t t = 0; t < steps; t++) {
      const int64_t step = a.place(first + t);
      for (int v = 0; v < NV; v++) {
        const int64_t at = t * tile + v * W, left = valid - v * W, c = c0 + v * W;
        const Vec<T> d = load_n<Tail>(a.delta.at(b, step) + c, left) + load(bias + v * W);
        store<T>(s.dt() + at, d);
        store<T>(s.slope() + at, a.softplus ? exp_for_softplus<T>(d) : splat<T>(1));
        store<T>(s.u() + at, load_n<Tail>(a.u.at(b, step) + c, left));
      }
    }
    for (int64_t t = 0; t < steps; t++) {
      const int64_t step = a.place(first + t);
      for (int v = 0; v < NV; v++) {
        const int64_t at = t * tile + v * W, left = valid - v * W, c = c0 + v * W;
        const Vec<T> gy = a.grad_y.data ? load_n<Tail>(a.grad_y.at(b, step) + c, left) : Vec<T>{};
        if (!a.z.data) {
          store<T>(s.gy() + at, gy);
          continue;
        }
        const Vec<T> z = load_n<Tail>(a.z.at(b, step) + c, left), gate = sigmoid<T>(z);
        store<T>(s.gy() + at, gy * (z * gate));
        store<T>(s.gz() + at, gy * (gate * (T(1) + z * (T(1) - gate))));
      }
    }
    Vec<T> peak{};
    for (int64_t at = 0; at < steps * tile; at += tile)
      for (int v = 0; v < NV; v++) {
        T *dt = s.dt() + at + v * W, *slope = s.slope() + at + v * W;
        if (a.softplus) {
          const Softplus<T> d = softplus<T>(load<T>(dt), load<T>(slope));
          store<T>(dt, d.value), store<T>(slope, d.slope);
        }
        peak = max(peak, abs<T>(load<T>(dt)));
      }
    return peak;
  }

  static void run(const ScanBackward<T>& a, int64_t b, int64_t t_index, T* scratch) {
    const int64_t states = N ? N : a.states, c0 = t_index * tile, width = a.channels - c0;
    const int64_t valid = width < tile ? width : tile, chunks = scan_chunks(a.length);
    const T *A = a.A + t_index * states * tile, *skip = a.skip + c0;
    const int64_t state_at = (b * a.channels + c0) * states;
    const Scratch s{scratch, states};
    T *grad_skip = s.sums() + states * tile, *grad_bias = grad_skip + tile;
    load_state<T>(s.g(), a.grad_last ? a.grad_last + state_at : nullptr, states, valid);

    for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) {
      const int64_t first = chunk * kScanChunk;
      const int64_t steps = a.length - first < kScanChunk ? a.length - first : kScanChunk;
      if (chunk == 0) load_state<T>(s.h(), a.initial ? a.initial + state_at : nullptr, states, valid);
      else copy(s.h(), checkpoint(a, b, t_index, chunk, states), states * tile);

      const Vec<T> peak = prepare(a, b, t_index, first, steps, s);
      const bool fast = in_range<T>(peak, a.A_peak[t_index]);
      // The next chunk is the one before in time, or the last one of the next sample.
      const int64_t next_b = chunk > 0 ? b : b + 1, next_chunk = chunk > 0 ? chunk - 1 : chunks - 1;
      const int64_t next_first = next_chunk * kScanChunk;
      const int64_t asked = next_b == a.batch                    ? 0
                            : a.length - next_first < kScanChunk ? a.length - next_first
                                                                 : kScanChunk;
      const T* next_state = asked > 0 && next_chunk > 0 ? checkpoint(a, next_b, t_index, next_chunk, states) : nullptr;
      for (int64_t t = 0; t < steps; t++) {
        Vec<T> y[NV];
        const int64_t step = a.place(first + t);
        ask_to_write(a, b, step, c0);
        if (t < asked) ask(a, next_b, a.place(next_first + t), c0);
        if (next_state)
          for (int64_t i = t * states * tile / kScanChunk; i < (t + 1) * states * tile / kScanChunk; i += W)
            __builtin_prefetch(next_state + i);
        const T *B = a.B.at(b, step), *C = a.C.at(b, step);
        if (fast) recompute<true>(s, t, states, A, B, C, y);
        else recompute<false>(s, t, a.states, A, B, C, y);
        add_row_sums(a.grad_C + ((a.group * a.batch + b) * a.length + step) * states, s.rows(), states);
        if (!a.z.data) continue;
        for (int v = 0; v < NV; v++) {
          const int64_t at = t * tile + v * W, c = c0 + v * W;
          const Vec<T> before = y[v] + load(skip + v * W) * load(s.u() + at);
          store_n<Tail>(a.grad_z.at(b, step) + c, load(s.gz() + at) * before, valid - v * W);
        }
      }

      for (int64_t t = steps - 1; t >= 0; t--) {
        Vec<T> input_grad[NV], decay_grad[NV];
        const int64_t step = a.place(first + t);
        reverse(s, t, states, A, a.B.at(b, step), a.C.at(b, step), input_grad, decay_grad);
        add_row_sums(a.grad_B + ((a.group * a.batch + b) * a.length + step) * states, s.rows(), states);
        for (int v = 0; v < NV; v++) {
          const int64_t at = t * tile + v * W, left = valid - v * W;
          const int64_t out = (b * a.length + step) * a.channels + c0 + v * W;
          const Vec<T> dt = load(s.dt() + at), u = load(s.u() + at), gy = load(s.gy() + at);
          const Vec<T> grad_delta = (input_grad[v] * u + decay_grad[v] * T(kLn2)) * load(s.slope() + at);
          Vec<T> grad_u = input_grad[v] * dt + gy * load(skip + v * W);
          if (a.adds) grad_u += load_n<Tail>(a.grad_u + out, left);
          store_n<Tail>(a.grad_u + out, grad_u, left);
          store_n<Tail>(a.grad_delta + out, grad_delta, left);
          store<T>(grad_skip + v * W, load<T>(grad_skip + v * W) + gy * u);
          store<T>(grad_bias + v * W, load<T>(grad_bias + v * W) + grad_delta);
        }
      }
    }
    if (a.grad_initial) save_state<T>(a.grad_initial + state_at, s.g(), states, valid);
  }
};

// Tasks [begin, end) of slices * groups. scratch is zero on entry.
template <class T> void scan_backward(const ScanBackward<T>& a, int64_t begin, int64_t end, T* scratch) {
  ScanBackward<T> call = a;
  const int64_t row_count = (a.states + 2) * kTile<T>;
  // BackwardTile's layout, whatever its other arguments: the sums lie behind history, steps and states.
  T* sums = typename BackwardTile<T, 2, false, 0>::Scratch{scratch, a.states}.sums();
  for (int64_t task = begin; task < end; task++) {
    const int64_t slice = task / a.groups;
    call.group = task % a.groups;
    const int64_t b0 = a.batch * slice / a.slices, b1 = a.batch * (slice + 1) / a.slices;
    const int64_t tile0 = a.tiles * call.group / a.groups, tile1 = a.tiles * (call.group + 1) / a.groups;
    for (int64_t tile = tile0; tile < tile1; tile++) {
      for (int64_t i = 0; i < row_count; i++) sums[i] = T(0);
      for (int64_t b = b0; b < b1; b++) run_tile<BackwardTile, T>(call, b, tile, scratch);
      copy(a.grad_rows + (slice * a.tiles + tile) * row_count, sums, row_count);
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
