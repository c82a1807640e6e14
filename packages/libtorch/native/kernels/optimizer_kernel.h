// Optimizer steps on contiguous ranges: one pass over memory, which is what bounds them.
// The order of operations is PyTorch's (torch.optim, single-tensor path), so results agree to rounding.
// Included by isa_*.cc after simd_math.h.
namespace mamba_prune {
namespace MP_ISA {

// Loshchilov & Hutter 2019, algorithm 2, as in torch.optim.AdamW.
template <class T> void adamw(const AdamWStep<T>& s, T* param, const T* grad, T* avg, T* avg_sq, int64_t count) {
  constexpr int W = Simd<T>::width;
  for (int64_t i = 0; i < count; i += W) {
    const int64_t left = count - i;
    const Vec<T> g = load_n<true>(grad + i, left);
    const Vec<T> m = load_n<true>(avg + i, left) * s.beta1 + g * s.one_minus_beta1;
    const Vec<T> v = load_n<true>(avg_sq + i, left) * s.beta2 + g * g * s.one_minus_beta2;
    const Vec<T> denominator = sqrt(v) / s.correction2_sqrt + s.eps;
    const Vec<T> p = load_n<true>(param + i, left) * s.decay - s.step_size * (m / denominator);
    store_n<true>(avg + i, m, left), store_n<true>(avg_sq + i, v, left), store_n<true>(param + i, p, left);
  }
}

// velocity may be null when momentum is zero.
template <class T> void sgd(const SgdStep<T>& s, T* param, const T* grad, T* velocity, int64_t count) {
  constexpr int W = Simd<T>::width;
  for (int64_t i = 0; i < count; i += W) {
    const int64_t left = count - i;
    const Vec<T> p = load_n<true>(param + i, left);
    Vec<T> g = load_n<true>(grad + i, left) + p * s.weight_decay;
    if (velocity) {
      const Vec<T> v = s.first ? g : load_n<true>(velocity + i, left) * s.momentum + g;
      store_n<true>(velocity + i, v, left);
      g = s.nesterov ? g + v * s.momentum : v;
    }
    store_n<true>(param + i, p - g * s.lr, left);
  }
}

template <class T> void ema(T decay, T* average, const T* param, int64_t count) {
  constexpr int W = Simd<T>::width;
  const T other = T(1) - decay;
  for (int64_t i = 0; i < count; i += W) {
    const int64_t left = count - i;
    const Vec<T> a = load_n<true>(average + i, left) * decay + load_n<true>(param + i, left) * other;
    store_n<true>(average + i, a, left);
  }
}

template <class T> void scale(T factor, T* values, int64_t count) {
  constexpr int W = Simd<T>::width;
  for (int64_t i = 0; i < count; i += W)
    store_n<true>(values + i, load_n<true>(values + i, count - i) * factor, count - i);
}

// Sum of squares in double. Eight lanes in a fixed order, whatever the register size: every instruction set
// gives the same bits.
template <class T> double sum_squares(const T* values, int64_t count) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int k = 0; k < 8; k++) lanes[k] += static_cast<double>(values[i + k]) * static_cast<double>(values[i + k]);
  for (; i < count; i++) lanes[i % 8] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace MP_ISA
}  // namespace mamba_prune
