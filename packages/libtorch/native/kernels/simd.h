// A small vector type for the per-ISA kernels: `Simd<T>::V` is one register of floats or doubles.
//
// Every isa_*.cc includes this header once, with
//   MP_ISA    the namespace of this instruction set (baseline, avx2, avx512) and
//   MP_BYTES  its register size,
// after all system headers and after its `#pragma GCC target`. Code for one instruction set lives in
// its own namespace, so the linker can never pick an AVX copy of a function for a baseline caller.
// Nothing here may be a lambda: GCC does not reliably pass the target pragma on to their bodies.
//
// Arithmetic uses the GCC vector extension (also in Clang), which becomes SSE, AVX or NEON; intrinsics
// appear only where the extension has no operator: min/max, square root and masked access.
#include <cstdint>
#include <utility>

#if defined(__GNUC__) && !defined(__clang__)
#define MP_INLINE inline __attribute__((always_inline))
#else
#define MP_INLINE inline
#endif

namespace mamba_prune {
namespace MP_ISA {

template <class T> struct Simd;
template <> struct Simd<float> {
  typedef float V __attribute__((vector_size(MP_BYTES)));
  typedef int32_t I __attribute__((vector_size(MP_BYTES)));
  static constexpr int width = MP_BYTES / 4;
};
template <> struct Simd<double> {
  typedef double V __attribute__((vector_size(MP_BYTES)));
  typedef int64_t I __attribute__((vector_size(MP_BYTES)));
  static constexpr int width = MP_BYTES / 8;
};
template <class T> using Vec = typename Simd<T>::V;
template <class T> using Int = typename Simd<T>::I;

// Minus zero, which the compiler leaves out; adding zero would turn -0 into 0, so that it has to be done.
template <class T> MP_INLINE Vec<T> splat(T x) { return x - Vec<T>{}; }

template <class T> MP_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T> MP_INLINE void store(T* p, Vec<T> v) { __builtin_memcpy(p, &v, sizeof v); }

#if MP_BYTES == 64
MP_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return _mm512_max_ps(a, b); }
MP_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return _mm512_max_pd(a, b); }
MP_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return _mm512_min_ps(a, b); }
MP_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return _mm512_min_pd(a, b); }
MP_INLINE Vec<float> sqrt(Vec<float> a) { return _mm512_sqrt_ps(a); }
MP_INLINE Vec<double> sqrt(Vec<double> a) { return _mm512_sqrt_pd(a); }
MP_INLINE Vec<float> load_part(const float* p, int n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
MP_INLINE Vec<double> load_part(const double* p, int n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
MP_INLINE void store_part(float* p, Vec<float> v, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
}
MP_INLINE void store_part(double* p, Vec<double> v, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
}
#elif MP_BYTES == 32
MP_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return _mm256_max_ps(a, b); }
MP_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return _mm256_max_pd(a, b); }
MP_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return _mm256_min_ps(a, b); }
MP_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return _mm256_min_pd(a, b); }
MP_INLINE Vec<float> sqrt(Vec<float> a) { return _mm256_sqrt_ps(a); }
MP_INLINE Vec<double> sqrt(Vec<double> a) { return _mm256_sqrt_pd(a); }
MP_INLINE __m256i lanes_below(int n, float) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
MP_INLINE __m256i lanes_below(int n, double) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
MP_INLINE Vec<float> load_part(const float* p, int n) { return _mm256_maskload_ps(p, lanes_below(n, 0.0f)); }
MP_INLINE Vec<double> load_part(const double* p, int n) { return _mm256_maskload_pd(p, lanes_below(n, 0.0)); }
// In pieces: a masked store takes 12 cycles on a processor of AMD (Zen 3).
MP_INLINE void store_part(float* p, Vec<float> v, int n) {
  __m128 piece = _mm256_castps256_ps128(v);
  if (n & 4) {
    _mm_storeu_ps(p, piece);
    piece = _mm256_extractf128_ps(v, 1), p += 4;
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), piece);
    piece = _mm_movehl_ps(piece, piece), p += 2;
  }
  if (n & 1) _mm_store_ss(p, piece);
}
MP_INLINE void store_part(double* p, Vec<double> v, int n) { _mm256_maskstore_pd(p, lanes_below(n, 0.0), v); }
#else
// `a > b ? a : b` and `a < b ? a : b` per lane: like the x86 instructions, b wins when a is NaN. On NEON this is a
// comparison and a selection, for its own maximum is NaN when either is.
template <class V> MP_INLINE V max(V a, V b) { return a > b ? a : b; }
template <class V> MP_INLINE V min(V a, V b) { return a < b ? a : b; }
#if defined(__aarch64__)
// Of the loops below GCC makes no such instruction: the C library's square root sets errno.
MP_INLINE Vec<float> sqrt(Vec<float> a) { return (Vec<float>)vsqrtq_f32((float32x4_t)a); }
MP_INLINE Vec<double> sqrt(Vec<double> a) { return (Vec<double>)vsqrtq_f64((float64x2_t)a); }
#else
MP_INLINE Vec<float> sqrt(Vec<float> a) {
  for (int i = 0; i < Simd<float>::width; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
MP_INLINE Vec<double> sqrt(Vec<double> a) {
  for (int i = 0; i < Simd<double>::width; i++) a[i] = __builtin_sqrt(a[i]);
  return a;
}
#endif
template <class T> MP_INLINE Vec<T> load_part(const T* p, int n) {
  Vec<T> v{};
  for (int i = 0; i < Simd<T>::width; i++)
    if (i < n) v[i] = p[i];
  return v;
}
template <class T> MP_INLINE void store_part(T* p, Vec<T> v, int n) {
  for (int i = 0; i < Simd<T>::width; i++)
    if (i < n) p[i] = v[i];
}
#endif

// Access to a row whose last vector may be partial. `n` is the number of valid elements from p on;
// with Tail = false the caller knows that the whole vector is valid. Missing lanes read as zero.
template <bool Tail, class T> MP_INLINE Vec<T> load_n(const T* p, int64_t n) {
  if (!Tail || n >= Simd<T>::width) return load<T>(p);
  return n <= 0 ? Vec<T>{} : load_part(p, static_cast<int>(n));
}
template <bool Tail, class T> MP_INLINE void store_n(T* p, Vec<T> v, int64_t n) {
  if (!Tail || n >= Simd<T>::width) store<T>(p, v);
  else if (n > 0) store_part(p, v, static_cast<int>(n));
}

// Two ways to add up parts of a and b into one register:
// FoldHalves<G> adds the two halves of every group of G lanes; in the result the first half of each group belongs to
// a, the second to b. FoldPairs adds neighbours; in every 128 bits of the result a comes before b. Neither needs
// more than one shuffle instruction an operand.
template <class T, int G> struct FoldHalves {
  static constexpr int other = G / 2;  // distance of the two lanes that are added
  static constexpr int index(int i) { return i % G < G / 2 ? i : Simd<T>::width + i - G / 2; }
};
template <class T> struct FoldPairs {
  static constexpr int q = 16 / static_cast<int>(sizeof(T)), other = 1;
  static constexpr int index(int i) {
    const int lane = i / q * q, r = i % q;
    return r < q / 2 ? lane + 2 * r : Simd<T>::width + lane + 2 * (r - q / 2);
  }
};
template <class T, class Pattern, int... i>
MP_INLINE Vec<T> fold(Vec<T> a, Vec<T> b, std::integer_sequence<int, i...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, Pattern::index(i)...) +
         __builtin_shufflevector(a, b, (Pattern::index(i) + Pattern::other)...);
#else
  return __builtin_shuffle(a, b, Int<T>{Pattern::index(i)...}) +
         __builtin_shuffle(a, b, Int<T>{(Pattern::index(i) + Pattern::other)...});
#endif
}
template <class T, class Pattern> MP_INLINE Vec<T> fold(Vec<T> a, Vec<T> b) {
  return fold<T, Pattern>(a, b, std::make_integer_sequence<int, Simd<T>::width>{});
}

// Rows first, first + step, ... (Count of them, one for each 128 bits): row first + k step ends up in 128-bit lane k.
template <class T, int Count> struct AcrossLanes {
  static MP_INLINE Vec<T> run(const T* rows, int first, int step) {
    return fold<T, FoldHalves<T, 2 * Simd<T>::width / Count>>(
        AcrossLanes<T, Count / 2>::run(rows, first, 2 * step),
        AcrossLanes<T, Count / 2>::run(rows, first + step, 2 * step));
  }
};
template <class T> struct AcrossLanes<T, 1> {
  static MP_INLINE Vec<T> run(const T* rows, int first, int) { return load<T>(rows + first * Simd<T>::width); }
};
// Then Count neighbouring results within the lanes.
template <class T, int Count> struct WithinLanes {
  static MP_INLINE Vec<T> run(const T* rows, int first) {
    return fold<T, FoldPairs<T>>(WithinLanes<T, Count / 2>::run(rows, first),
                                 WithinLanes<T, Count / 2>::run(rows, first + Count / 2));
  }
};
template <class T> struct WithinLanes<T, 1> {
  static MP_INLINE Vec<T> run(const T* rows, int first) {
    return AcrossLanes<T, MP_BYTES / 16>::run(rows, first, FoldPairs<T>::q);
  }
};
// Lane i of the result is the sum of row i; rows is [width, width]. A transposing tree: about 3 instructions a row,
// where separate horizontal sums would take 6 or more.
template <class T> MP_INLINE Vec<T> sum_rows(const T* rows) { return WithinLanes<T, FoldPairs<T>::q>::run(rows, 0); }

}  // namespace MP_ISA
}  // namespace mamba_prune
