// RMSNorm over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467), forward and backward. Included by
// isa_*.cc after simd.h.
namespace mamba_prune {
namespace MP_ISA {

template <class T> MP_INLINE T sum_lanes(Vec<T> v) {
  T sum = 0;
  for (int i = 0; i < Simd<T>::width; i++) sum += v[i];
  return sum;
}

// 1 / sqrt(mean(x^2) + eps) of a row.
template <class T> MP_INLINE T rms_scale(const T* x, T eps, int64_t columns) {
  Vec<T> squares{};
  for (int64_t c = 0; c < columns; c += Simd<T>::width) {
    const Vec<T> v = load_n<true>(x + c, columns - c);
    squares += v * v;
  }
  return T(1) / static_cast<T>(__builtin_sqrt(sum_lanes<T>(squares) / static_cast<T>(columns) + eps));
}

template <class T> inline void rms_norm(const T* x, const T* weight, T eps, int64_t columns, T* out) {
  const T scale = rms_scale<T>(x, eps, columns);
  for (int64_t c = 0; c < columns; c += Simd<T>::width)
    store_n<true>(out + c, load_n<true>(x + c, columns - c) * scale * load_n<true>(weight + c, columns - c),
                  columns - c);
}

// Chunks [begin, end) of rows_per_chunk rows.
template <class T> void rms_forward(const RmsNormArgs<T>& a, int64_t begin, int64_t end) {
  const int64_t last = end * a.rows_per_chunk < a.rows ? end * a.rows_per_chunk : a.rows;
  for (int64_t r = begin * a.rows_per_chunk; r < last; r++)
    rms_norm<T>(a.x + r * a.columns, a.weight, a.eps, a.columns, a.out + r * a.columns);
}

// With n = x scale and g = grad weight: the gradient of x is scale (g - n mean(g n)), that of weight the sum over rows
// of grad n. Each chunk sums its rows of the latter in its own row of `sums`, which is zero on entry.
template <class T> void rms_backward(const RmsNormArgs<T>& a, int64_t begin, int64_t end) {
  constexpr int W = Simd<T>::width;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const int64_t first = chunk * a.rows_per_chunk;
    const int64_t last = first + a.rows_per_chunk < a.rows ? first + a.rows_per_chunk : a.rows;
    T* sums = a.sums + chunk * a.columns;
    for (int64_t r = first; r < last; r++) {
      const T *x = a.x + r * a.columns, *grad = a.grad_y + r * a.columns;
      const T scale = rms_scale<T>(x, a.eps, a.columns);
      Vec<T> along{};
      for (int64_t c = 0; c < a.columns; c += W) {
        const int64_t left = a.columns - c;
        const Vec<T> n = load_n<true>(x + c, left) * scale, dn = load_n<true>(grad + c, left) * n;
        store_n<true>(sums + c, load_n<true>(sums + c, left) + dn, left);
        along += dn * load_n<true>(a.weight + c, left);
      }
      const T mean = sum_lanes<T>(along) / static_cast<T>(a.columns);
      T* out = a.out + r * a.columns;
      for (int64_t c = 0; c < a.columns; c += W) {
        const int64_t left = a.columns - c;
        const Vec<T> n = load_n<true>(x + c, left) * scale,
                     g = load_n<true>(grad + c, left) * load_n<true>(a.weight + c, left);
        store_n<true>(out + c, (g - n * mean) * scale, left);
      }
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
