// Causal depthwise convolution over time, channels last, with SiLU: the short convolution before the scan in
// the Mamba block (Gu & Dao 2023, sec. 3.4, fig. 3). Channels last, as the projections leave the data, so
// there is nothing to transpose: a step adds `taps` rows, each contiguous over channels.
// Included by isa_*.cc after simd_math.h.
namespace mamba_prune {
namespace MP_ISA {

// Rows of x under the taps of `steps` steps from t on; before the start of the sequence there are zeros.
template <class T> MP_INLINE void tap_rows(const ConvInputs<T>& a, int64_t b, int64_t t, int64_t steps, int64_t c0,
                                           const T* zeros, const T** rows) {
  for (int64_t k = 0; k < a.taps - 1 + steps; k++) {
    const int64_t s = t - (a.taps - 1) + k;
    rows[k] = s < 0 ? zeros : a.x.at(b, s) + c0;
  }
}

// Pre-activations of one register of channels in `Steps` steps, which share their loads. K taps (0: known at run time
// only).
template <int K, int Steps, bool Tail, class T> MP_INLINE void conv_at(const ConvInputs<T>& a, const T* const* rows,
                                                                       int64_t c0, int64_t c, int64_t left,
                                                                       Vec<T> (&sum)[Steps]) {
  const int64_t taps = K ? K : a.taps;
  const T* weight = a.weight + c0 + c;
#pragma GCC unroll 2
  for (int i = 0; i < Steps; i++) sum[i] = load(a.bias + c0 + c);
  Vec<T> x[Steps];
#pragma GCC unroll 2
  for (int i = 0; i + 1 < Steps; i++) x[i + 1] = load_n<Tail>(rows[i] + c, left);
#pragma GCC unroll 8
  for (int64_t k = 0; k < taps; k++) {
    const Vec<T> w = load(weight + k * a.padded);
#pragma GCC unroll 2
    for (int i = 0; i + 1 < Steps; i++) x[i] = x[i + 1];
    x[Steps - 1] = load_n<Tail>(rows[k + Steps - 1] + c, left);
#pragma GCC unroll 2
    for (int i = 0; i < Steps; i++) sum[i] += w * x[i];
  }
}

template <bool Tail, class T> MP_INLINE void silu_in_place(T* y, int64_t left) {
  const Vec<T> s = load_n<Tail>(y, left);
  store_n<Tail>(y, s * sigmoid<T>(s), left);
}

// SiLU is a loop of its own: behind the sums it would be a chain of operations so long that the multipliers wait.
template <int K, int Steps, class T>
MP_INLINE void conv_steps(const ConvForward<T>& a, int64_t b, int64_t t, int64_t c0, int64_t width, const T* zeros) {
  constexpr int W = Simd<T>::width;
  const T* rows[kConvMaxTaps + 1];
  tap_rows<T>(a, b, t, Steps, c0, zeros, rows);
  T* y = a.y + (b * a.length + t) * a.y_stride + c0;
  Vec<T> s[Steps];
  int64_t c = 0;
  for (; c + W <= width; c += W) {
    conv_at<K, Steps, false, T>(a, rows, c0, c, W, s);
    for (int i = 0; i < Steps; i++) store<T>(y + i * a.y_stride + c, s[i]);
  }
  if (c < width) {
    conv_at<K, Steps, true, T>(a, rows, c0, c, width - c, s);
    for (int i = 0; i < Steps; i++) store_n<true>(y + i * a.y_stride + c, s[i], width - c);
  }
  if (!a.silu) return;
  for (int i = 0; i < Steps; i++, y += a.y_stride) {
    for (c = 0; c + W <= width; c += W) silu_in_place<false, T>(y + c, W);
    if (c < width) silu_in_place<true, T>(y + c, width - c);
  }
}

template <int K, class T> void conv_forward_block(const ConvForward<T>& a, int64_t b, int64_t block, const T* zeros) {
  const int64_t c0 = block * kConvBlock;
  const int64_t width = a.channels - c0 < kConvBlock ? a.channels - c0 : kConvBlock;
  int64_t t = 0;
  for (; t + 2 <= a.length; t += 2) conv_steps<K, 2, T>(a, b, t, c0, width, zeros);
  if (t < a.length) conv_steps<K, 1, T>(a, b, t, c0, width, zeros);
}

// The gradients of the pre-activations of `Steps` steps from t on, in rows of the ring, and what they add to those of
// weight and bias.
template <int K, int Steps, bool Tail, class T>
MP_INLINE void conv_back_register(const ConvBackward<T>& a, const T* const* rows, const T* const* grads, int64_t c,
                                  int64_t left, T* const* pre, T* sums) {
  const int64_t taps = K ? K : a.taps;
  Vec<T> g[Steps];
#pragma GCC unroll 2
  for (int i = 0; i < Steps; i++) {
    g[i] = load_n<Tail>(grads[i] + c, left);
    if (a.silu) {
      const Vec<T> s = load<T>(pre[i] + c), gate = sigmoid<T>(s);
      g[i] *= gate * (T(1) + s * (T(1) - gate));
    }
    store<T>(pre[i] + c, g[i]);
  }
  for (int64_t k = 0; k <= taps; k++) {
    T* to = sums + k * kConvBlock + c;
    Vec<T> sum = load<T>(to);
#pragma GCC unroll 2
    for (int i = 0; i < Steps; i++) {
      if (k < taps) sum += g[i] * load_n<Tail>(rows[k + i] + c, left);
      else sum += g[i];
    }
    store<T>(to, sum);
  }
}
template <int K, int Steps, class T> MP_INLINE void conv_back_pre(const ConvBackward<T>& a, int64_t b, int64_t t,
                                                                  int64_t c0, int64_t width, const T* zeros, T* ring,
                                                                  T* sums) {
  constexpr int W = Simd<T>::width;
  const int64_t taps = K ? K : a.taps;
  const T *rows[kConvMaxTaps + 1], *grads[Steps];
  T* pre[Steps];
  tap_rows<T>(a, b, t, Steps, c0, zeros, rows);
  for (int i = 0; i < Steps; i++)
    grads[i] = a.grad_y.at(b, t + i) + c0, pre[i] = ring + (t + i) % (taps + 1) * kConvBlock;
  int64_t c = 0;
  if (a.silu) {
    Vec<T> s[Steps];
    for (; c + W <= width; c += W) {
      conv_at<K, Steps, false, T>(a, rows, c0, c, W, s);
      for (int i = 0; i < Steps; i++) store<T>(pre[i] + c, s[i]);
    }
    if (c < width) {
      conv_at<K, Steps, true, T>(a, rows, c0, c, width - c, s);
      for (int i = 0; i < Steps; i++) store<T>(pre[i] + c, s[i]);
    }
  }
  for (c = 0; c + W <= width; c += W) conv_back_register<K, Steps, false, T>(a, rows, grads, c, W, pre, sums);
  if (c < width) conv_back_register<K, Steps, true, T>(a, rows, grads, c, width - c, pre, sums);
}

// The gradients of x in `Steps` steps from s on, whose ring rows are complete.
template <int K, int Steps, class T>
MP_INLINE void conv_back_x(const ConvBackward<T>& a, int64_t b, int64_t s, int64_t c0, int64_t width, const T* ring) {
  const int64_t taps = K ? K : a.taps;
  const T* later[kConvMaxTaps + 1];  // steps s, s + 1, ..., of which tap k saw x at s in the step taps - 1 - k later
  for (int64_t j = 0; j < taps - 1 + Steps; j++) later[j] = ring + (s + j) % (taps + 1) * kConvBlock;
  for (int64_t c = 0; c < width; c += Simd<T>::width) {
    Vec<T> sum[Steps]{};
    for (int64_t k = 0; k < taps; k++) {
      const Vec<T> w = load(a.weight + k * a.padded + c0 + c);
#pragma GCC unroll 2
      for (int i = 0; i < Steps; i++) sum[i] += w * load(later[taps - 1 - k + i] + c);
    }
    for (int i = 0; i < Steps; i++) store_n<true>(a.grad_x.at(b, s + i) + c0 + c, sum[i], width - c);
  }
}

// Going forward in time, two steps at a time, which share their loads: the gradient of step t's pre-activation goes
// into a ring of taps + 1 rows; with it the gradient of x at step t - taps + 1 is complete.
template <int K, class T>
void conv_backward_block(const ConvBackward<T>& a, int64_t b, int64_t block, const T* zeros, T* ring, T* sums) {
  const int64_t taps = K ? K : a.taps, c0 = block * kConvBlock;
  const int64_t width = a.channels - c0 < kConvBlock ? a.channels - c0 : kConvBlock;
  // Beyond the end of the sequence there are zeros.
  const int64_t past = a.length + taps - 1;
  for (int64_t t = 0; t < past;) {
    const int64_t steps = t + 2 <= a.length || (t >= a.length && t + 2 <= past) ? 2 : 1;
    if (t >= a.length) {
      for (int64_t i = 0; i < steps; i++)
        for (int64_t c = 0; c < kConvBlock; c++) ring[(t + i) % (taps + 1) * kConvBlock + c] = T(0);
    } else if (steps == 2) {
      conv_back_pre<K, 2, T>(a, b, t, c0, width, zeros, ring, sums);
    } else {
      conv_back_pre<K, 1, T>(a, b, t, c0, width, zeros, ring, sums);
    }
    const int64_t s = t - (taps - 1);
    if (steps == 2 && s >= 0) {
      conv_back_x<K, 2, T>(a, b, s, c0, width, ring);
    } else {
      for (int64_t i = 0; i < steps; i++)
        if (s + i >= 0) conv_back_x<K, 1, T>(a, b, s + i, c0, width, ring);
    }
    t += steps;
  }
}

// Tasks [begin, end) of batch * blocks. scratch is zero on entry.
template <class T> void conv_forward(const ConvForward<T>& a, int64_t begin, int64_t end, T* scratch) {
  const int64_t blocks = a.padded / kConvBlock;
  for (int64_t task = begin; task < end; task++) {
    if (a.taps == 4) conv_forward_block<4, T>(a, task / blocks, task % blocks, scratch);
    else conv_forward_block<0, T>(a, task / blocks, task % blocks, scratch);
  }
}

// Tasks [begin, end) of slices * blocks. scratch is zero on entry.
template <class T> void conv_backward(const ConvBackward<T>& a, int64_t begin, int64_t end, T* scratch) {
  const int64_t blocks = a.padded / kConvBlock, row = kConvBlock;
  T *ring = scratch + row, *sums = ring + (a.taps + 1) * row;
  for (int64_t task = begin; task < end; task++) {
    const int64_t slice = task / blocks, block = task % blocks;
    for (int64_t i = 0; i < (a.taps + 1) * row; i++) sums[i] = T(0);
    for (int64_t b = a.batch * slice / a.slices; b < a.batch * (slice + 1) / a.slices; b++) {
      if (a.taps == 4) conv_backward_block<4, T>(a, b, block, scratch, ring, sums);
      else conv_backward_block<0, T>(a, b, block, scratch, ring, sums);
    }
    for (int64_t k = 0; k <= a.taps; k++)
      copy(a.grad_rows + (slice * (a.taps + 1) + k) * a.padded + block * row, sums + k * row, row);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
