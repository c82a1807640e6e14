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
template <int K, int Steps, bool Tail, class T>
MP_INLINE void conv_at(const ConvInputs<T>& a, const T* const* rows, int64_t c0, int64_t c, int64_t left,
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

template <int K, int Steps, bool Tail, class T> MP_INLINE void conv_register(
    const ConvForward<T>& a, const T* const* rows, int64_t c0, int64_t c, int64_t left, T* y) {
  Vec<T> s[Steps];
  conv_at<K, Steps, Tail, T>(a, rows, c0, c, left, s);
#pragma GCC unroll 2
  for (int i = 0; i < Steps; i++) {
    if (a.silu) s[i] *= sigmoid<T>(s[i]);
    store_n<Tail>(y + i * a.y_stride + c, s[i], left);
  }
}

template <int K, int Steps, class T> MP_INLINE void conv_steps(const ConvForward<T>& a, int64_t b, int64_t t,
                                                               int64_t c0, int64_t width, const T* zeros) {
  constexpr int W = Simd<T>::width;
  const T* rows[kConvMaxTaps + 1];
  tap_rows<T>(a, b, t, Steps, c0, zeros, rows);
  T* y = a.y + (b * a.length + t) * a.y_stride + c0;
  int64_t c = 0;
  for (; c + W <= width; c += W) conv_register<K, Steps, false, T>(a, rows, c0, c, W, y);
  if (c < width) conv_register<K, Steps, true, T>(a, rows, c0, c, width - c, y);
}

template <int K, class T> void conv_forward_block(const ConvForward<T>& a, int64_t b, int64_t block, const T* zeros) {
  const int64_t c0 = block * kConvBlock;
  const int64_t width = a.channels - c0 < kConvBlock ? a.channels - c0 : kConvBlock;
  int64_t t = 0;
  for (; t + 2 <= a.length; t += 2) conv_steps<K, 2, T>(a, b, t, c0, width, zeros);
  if (t < a.length) conv_steps<K, 1, T>(a, b, t, c0, width, zeros);
}

// Going forward in time: the gradient of step t's pre-activation goes into a ring of `taps` rows; with it the
// gradient of x at step t - taps + 1 is complete.
template <int K, class T>
void conv_backward_block(const ConvBackward<T>& a, int64_t b, int64_t block, const T* zeros, T* ring, T* sums) {
  constexpr int W = Simd<T>::width;
  const int64_t taps = K ? K : a.taps, c0 = block * kConvBlock;
  const int64_t width = a.channels - c0 < kConvBlock ? a.channels - c0 : kConvBlock;
  const T* rows[kConvMaxTaps];
  for (int64_t t = 0; t < a.length + taps - 1; t++) {
    T* pre = ring + t % taps * kConvBlock;
    if (t < a.length) {
      tap_rows<T>(a, b, t, 1, c0, zeros, rows);
      const T* grad = a.grad_y.at(b, t) + c0;
      for (int64_t c = 0; c < width; c += W) {
        Vec<T> g = load_n<true>(grad + c, width - c);
        if (a.silu) {
          Vec<T> s[1];
          conv_at<K, 1, true, T>(a, rows, c0, c, width - c, s);
          const Vec<T> gate = sigmoid<T>(s[0]);
          g *= gate * (T(1) + s[0] * (T(1) - gate));
        }
        store<T>(pre + c, g);
        for (int64_t k = 0; k < taps; k++) {
          T* sum = sums + k * kConvBlock + c;
          store<T>(sum, load<T>(sum) + g * load_n<true>(rows[k] + c, width - c));
        }
        T* sum = sums + taps * kConvBlock + c;
        store<T>(sum, load<T>(sum) + g);
      }
    } else {
      for (int64_t c = 0; c < kConvBlock; c += W) store<T>(pre + c, Vec<T>{});
    }
    const int64_t s = t - (taps - 1);
    if (s < 0) continue;
    T* out = a.grad_x.at(b, s) + c0;
    const T* later[kConvMaxTaps];  // the step in which tap k saw x at s
    for (int64_t k = 0; k < taps; k++) later[k] = ring + (s + taps - 1 - k) % taps * kConvBlock;
    for (int64_t c = 0; c < width; c += W) {
      Vec<T> sum{};
      for (int64_t k = 0; k < taps; k++) sum += load(a.weight + k * a.padded + c0 + c) * load(later[k] + c);
      store_n<true>(out + c, sum, width - c);
    }
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
  T *ring = scratch + row, *sums = ring + a.taps * row;
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
