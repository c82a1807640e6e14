// Vector exp2, exp, sigmoid, softplus and the normal distribution for the kernels. Included after simd.h.
namespace mamba_prune {
namespace MP_ISA {

template <class T, int N> MP_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[N]) {
  Vec<T> p = splat<T>(c[N - 1]);
#pragma GCC unroll 32
  for (int k = N - 2; k >= 0; k--) p = p * x + c[k];
  return p;
}

// 2^f on [-1/2, 1/2]: minimax polynomials for float (relative error before rounding 2e-9; `fast` 9e-8, which is
// 1.3 ulp after rounding), Taylor terms ln(2)^k / k! for double (remainder 4e-18).
template <class T> struct Exp2;
template <> struct Exp2<float> {
  static constexpr int shift = 23, bias = 127;
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: x + round has round(x) in its low bits
  static constexpr float low = -127.0f, high = 128.0f, limit = 120.0f;
  static constexpr float c[7] = {
      1.0f, 6.931472029e-01f, 2.402264791e-01f, 5.550332470e-02f, 9.618437359e-03f, 1.339887474e-03f, 1.535336224e-04f};
  static constexpr float fast[6] = {
      1.0f, 6.931469776e-01f, 2.402224208e-01f, 5.550733746e-02f, 9.671512967e-03f, 1.326472737e-03f};
};
template <> struct Exp2<double> {
  static constexpr int shift = 52, bias = 1023;
  static constexpr double round = 6755399441055744.0;
  static constexpr double low = -1023.0, high = 1024.0, limit = 1000.0;
  static constexpr double c[14] = {1.0,
                                   0.69314718055994530942,
                                   0.24022650695910071233,
                                   0.055504108664821579953,
                                   0.0096181291076284771619,
                                   0.0013333558146428443423,
                                   0.00015403530393381609954,
                                   1.5252733804059840280e-05,
                                   1.3215486790144309488e-06,
                                   1.0178086009239699727e-07,
                                   7.0549116208011233299e-09,
                                   4.4455382718708114976e-10,
                                   2.5678435993488205141e-11,
                                   1.3691488853904128881e-12};
  static constexpr const double (&fast)[14] = c;
};

// 2^(a b) for |a b| <= Exp2<T>::limit, the innermost operation of the scan. The limit saves clamping, and scaling by
// integer addition to the exponent bits. Under FMA the product is never rounded.
template <class T> MP_INLINE Vec<T> exp2_product_in_range(Vec<T> a, Vec<T> b) {
  using E = Exp2<T>;
  const Vec<T> shifted = a * b + E::round;
  const Vec<T> f = a * b - (shifted - E::round);
  return (Vec<T>)((Int<T>)polynomial<T>(f, E::fast) + ((Int<T>)shifted << E::shift));
}

// 2^x for any x. Results below the smallest normal number are flushed to zero, above the largest give infinity;
// NaN stays NaN (min and max return their second operand for NaN).
template <class T> MP_INLINE Vec<T> exp2(Vec<T> x) {
  using E = Exp2<T>;
  constexpr T round = E::round + E::bias;  // the low bits become the biased exponent
  x = min(splat<T>(E::high), max(splat<T>(E::low), x));
  const Vec<T> shifted = x + round;
  return polynomial<T>(x - (shifted - round), E::c) * (Vec<T>)((Int<T>)shifted << E::shift);
}

constexpr double kLog2e = 1.44269504088896340736, kLn2 = 0.69314718055994530942;

// e^x. Unlike exp2(x * log2(e)) this keeps its relative accuracy for large |x|: log2(e) is split in two
// and the first product is exact under FMA. Clamped like exp2.
// NotAbove: x is not above zero, and so needs no limit there.
template <class T, bool NotAbove = false> MP_INLINE Vec<T> exp(Vec<T> x) {
  using E = Exp2<T>;
  constexpr T hi = static_cast<T>(kLog2e);
  constexpr T lo = sizeof(T) == 4 ? static_cast<T>(kLog2e - static_cast<double>(hi)) : T(2.0355273740931033e-17);
  x = max(splat<T>(E::low * T(kLn2)), x);
  if constexpr (!NotAbove) x = min(splat<T>(E::high * T(kLn2)), x);
  constexpr T round = E::round + E::bias;
  const Vec<T> shifted = x * hi + round;
  const Vec<T> f = (x * hi - (shifted - round)) + x * lo;
  return polynomial<T>(f, E::c) * (Vec<T>)((Int<T>)shifted << E::shift);
}
// By their bits: a comparison would take one of the units that multiply.
template <class T> MP_INLINE Int<T> sign_bits() { return (Int<T>)splat<T>(T(-0.0)); }
template <class T> MP_INLINE Vec<T> abs(Vec<T> x) { return (Vec<T>)((Int<T>)x & ~sign_bits<T>()); }
template <class T> MP_INLINE Vec<T> minus_abs(Vec<T> x) { return (Vec<T>)((Int<T>)x | sign_bits<T>()); }

// e^(-x^2 / 2). float: the rounding of x^2 is the larger error by far, so log2(e) is not split.
MP_INLINE Vec<float> exp_minus_half_square(Vec<float> x) {
  using E = Exp2<float>;
  constexpr float scale = static_cast<float>(-0.5 * kLog2e), round = E::round + E::bias;
  const Vec<float> square = min(splat<float>(E::low / scale), x * x), shifted = square * scale + round;
  const Vec<float> f = square * scale - (shifted - round);
  return polynomial<float>(f, E::c) * (Vec<float>)((Int<float>)shifted << E::shift);
}
MP_INLINE Vec<double> exp_minus_half_square(Vec<double> x) { return exp<double, true>(x * x * -0.5); }

template <class T> MP_INLINE Vec<T> sigmoid(Vec<T> x) { return T(1) / (T(1) + exp<T>(-x)); }

// log(1 + e) for 0 <= e <= 1 as 2 artanh(s), s = e / (2 + e) <= 1/3: the series in s^2 <= 1/9 keeps full
// relative accuracy for tiny e, where log(1 + e) would lose it. float: minimax, 5e-9; double: 9^-17/35.
template <class T> struct Log1p;
template <> struct Log1p<float> {
  static constexpr float c[5] = {2.0f, 6.666641628e-01f, 4.002152736e-01f, 2.800180304e-01f, 2.801199874e-01f};
};
template <> struct Log1p<double> {
  static constexpr double c[17] = {2.,      2. / 3,  2. / 5,  2. / 7,  2. / 9,  2. / 11, 2. / 13, 2. / 15, 2. / 17,
                                   2. / 19, 2. / 21, 2. / 23, 2. / 25, 2. / 27, 2. / 29, 2. / 31, 2. / 33};
};
template <class T> MP_INLINE Vec<T> log1p_unit(Vec<T> e) {
  const Vec<T> s = e / (T(2) + e);
  return s * polynomial<T>(s * s, Log1p<T>::c);
}

// softplus(x) = log(1 + exp(x)) and its derivative, sigmoid(x); linear above 20, as in PyTorch.
template <class T> struct Softplus {
  Vec<T> value, slope;
};
// In two halves, for loops that take one after the other: as one chain of operations it would leave the multipliers
// waiting.
template <class T> MP_INLINE Vec<T> exp_for_softplus(Vec<T> x) { return exp<T, true>(minus_abs<T>(x)); }
template <class T> MP_INLINE Softplus<T> softplus(Vec<T> x, Vec<T> e) {
  const Vec<T> one = splat<T>(1), zero{};
  const Vec<T> value = max(zero, x) + log1p_unit<T>(e);
  const Vec<T> slope = (x < zero ? e : one) / (one + e);
  return {x > T(20) ? x : value, x > T(20) ? one : slope};
}

// The lower tail of the normal distribution, Phi(-a) for a >= 0, given e = exp(-a^2 / 2). Accurate to the last bits
// however small it is, where 1 + erf(-a) cancels. float: e t P(t) with t = 1 / (1 + 0.3 a), P fitted to a relative
// error of 4e-9 (the form of Abramowitz & Stegun 26.2.17); double: the C library, lane by lane.
MP_INLINE Vec<float> normal_tail(Vec<float> a, Vec<float> e) {
  constexpr float p[10] = {1.196865370e-01f,  1.195746251e-01f, 1.102132996e-01f,  7.848762682e-02f, 9.588722146e-02f,
                           -7.894432350e-02f, 1.912332920e-01f, -2.278169135e-01f, 1.122732482e-01f, -2.059461481e-02f};
  const Vec<float> t = 1.0f / (1.0f + 0.3f * a);
  return e * (t * polynomial<float>(t, p));
}
MP_INLINE Vec<double> normal_tail(Vec<double> a, Vec<double>) {
  for (int i = 0; i < Simd<double>::width; i++) a[i] = 0.5 * ::erfc(a[i] * 0.70710678118654752440);
  return a;
}

}  // namespace MP_ISA
}  // namespace mamba_prune
