// Causal depthwise convolution over time, channels last, with SiLU: the short convolution before the scan in
// the Mamba block (Gu & Dao 2023, sec. 3.4, fig. 3). Channels last, as the projections leave the data, so
// there is nothing to transpose: a step adds `taps` rows, each contiguous over channels.
// Included by isa_*.cc after simd_math.h.
namespace mamba_prune {
namespace MP_ISA {

// Rows of x under the taps of step t; before the start of the sequence there are zeros.
template <class T>
MP_INLINE void tap_rows(const ConvInputs<T>& a, int64_t b, int64_t t, int64_t c0, const T* zeros, const T** rows) {
  for (int64_t k = 0; k < a.taps; k++) {
    const int64_t s = t - (a.taps - 1) + k;
    rows[k] = s < 0 ? zeros : a.x.at(b, s) + c0;
  }
}

// Pre-activation of one register of channels. K taps (0: known at run time only).
template <int K, class T>
MP_INLINE Vec<T> conv_at(const ConvInputs<T>& a, const T* const* rows, int64_t c0, int64_t c, int64_t left) {
  const int64_t taps = K ? K : a.taps;
  Vec<T> sum = load(a.bias + c0 + c);
  for (int64_t k = 0; k < taps; k++) sum += load(a.weight + k * a.padded + c0 + c) * load_n<true>(rows[k] + c, left);
  return sum;
}

template <int K, class T> void conv_forward_block(const ConvForward<T>& a, int64_t b, int64_t block, const T* zeros) {
  constexpr int W = Simd<T>::width;
  const int64_t c0 = block * kConvBlock;
  const int64_t width = a.channels - c0 < kConvBlock ? a.channels - c0 : kConvBlock;
  const T* rows[kConvMaxTaps];
  for (int64_t t = 0; t < a.length; t++) {
    tap_rows<T>(a, b, t, c0, zeros, rows);
    T* y = a.y + (b * a.length + t) * a.y_stride + c0;
    for (int64_t c = 0; c < width; c += W) {
      Vec<T> s = conv_at<K, T>(a, rows, c0, c, width - c);
      if (a.silu) s *= sigmoid<T>(s);
      store_n<true>(y + c, s, width - c);
    }
  }
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
      tap_rows<T>(a, b, t, c0, zeros, rows);
      const T* grad = a.grad_y.at(b, t) + c0;
      for (int64_t c = 0; c < width; c += W) {
        Vec<T> g = load_n<true>(grad + c, width - c);
        if (a.silu) {
          const Vec<T> s = conv_at<K, T>(a, rows, c0, c, width - c), gate = sigmoid<T>(s);
          g *= gate * (T(1) + s * (T(1) - gate));
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
