// gelu(x + bias) with the exact Gaussian distribution function (Hendrycks & Gimpel 2016, eq. 1; PyTorch's default,
// approximate='none'): gelu(v) = v Phi(v), gelu'(v) = Phi(v) + v phi(v). Included by isa_*.cc after simd_math.h.
namespace mamba_prune {
namespace MP_ISA {

// v Phi(v) = max(v, 0) - |v| Phi(-|v|): no cancellation on either side.
template <class T> MP_INLINE Vec<T> gelu(Vec<T> v) {
  const Vec<T> a = abs<T>(v);
  return max(v, Vec<T>{}) - a * normal_tail(a, exp_minus_half_square(v));
}
template <class T> MP_INLINE Vec<T> gelu_slope(Vec<T> v) {
  constexpr T inv_sqrt_2pi = static_cast<T>(0.39894228040143267794);
  const Vec<T> e = exp_minus_half_square(v), tail = normal_tail(abs<T>(v), e);
  return (v < Vec<T>{} ? tail : T(1) - tail) + v * (inv_sqrt_2pi * e);
}

// Chunks [begin, end) of rows_per_chunk rows.
template <class T> void gelu_forward(const GeluArgs<T>& a, int64_t begin, int64_t end) {
  constexpr int W = Simd<T>::width;
  const int64_t last = end * a.rows_per_chunk < a.rows ? end * a.rows_per_chunk : a.rows;
  for (int64_t r = begin * a.rows_per_chunk; r < last; r++)
    for (int64_t c = 0; c < a.columns; c += W) {
      const int64_t at = r * a.columns + c, left = a.columns - c;
      const Vec<T> v = load_n<true>(a.x + at, left) + load_n<true>(a.bias + c, left);
      store_n<true>(a.out + at, gelu<T>(v), left);
    }
}

// Each chunk sums its rows of the bias gradient in its own row of `sums`, which is zero on entry.
template <class T> void gelu_backward(const GeluArgs<T>& a, int64_t begin, int64_t end) {
  constexpr int W = Simd<T>::width;
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const int64_t first = chunk * a.rows_per_chunk;
    const int64_t last = first + a.rows_per_chunk < a.rows ? first + a.rows_per_chunk : a.rows;
    T* sums = a.sums + chunk * a.columns;
    for (int64_t r = first; r < last; r++)
      for (int64_t c = 0; c < a.columns; c += W) {
        const int64_t at = r * a.columns + c, left = a.columns - c;
        const Vec<T> v = load_n<true>(a.x + at, left) + load_n<true>(a.bias + c, left);
        const Vec<T> g = load_n<true>(a.grad_y + at, left) * gelu_slope<T>(v);
        store_n<true>(a.out + at, g, left);
        store_n<true>(sums + c, load_n<true>(sums + c, left) + g, left);
      }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
