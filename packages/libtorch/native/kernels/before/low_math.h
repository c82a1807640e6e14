// Functions between products in low precision, for operands that are rounded to 8 bits or fewer on their way: an error
// of 2^-13 is a sixteenth of what rounding to bfloat16 adds. AVX-512 takes a number apart, and puts it together again,
// in one instruction each, in which NaN, infinity and what is too small or too large come out right.
// Included by isa_table.h after gemm_kernel.h, where MP_BYTES is 64.
namespace mamba_prune {
namespace MP_ISA {

// 2^x to within 1.1e-4 of itself: a minimax polynomial on [0, 1] that has 1 and 2 at its ends, so that factors close to
// 1, of which a scan multiplies many, stay as close to it: 1 - 2^x is within 0.4% of itself there.
MP_INLINE Vec<float> exp2_low(Vec<float> x) {
  constexpr float p[4] = {1.0f, 6.954243475e-01f, 2.263076823e-01f, 7.826797017e-02f};
  constexpr int kDown = 9;  // to the next whole number below, without an exception
  return _mm512_scalef_ps(polynomial<float>(_mm512_reduce_ps(x, kDown), p), x);
}

constexpr float kLog2eFloat = static_cast<float>(kLog2e);

// x sigmoid(x) to within 2e-4 of itself: that of exp2_low, and 2^-14 of the reciprocal.
MP_INLINE Vec<float> silu_low(Vec<float> x) { return x * _mm512_rcp14_ps(exp2_low(x * -kLog2eFloat) + 1.0f); }

// log(1 + e^x) to within 2e-4 of itself: log(1 + e) is e times a minimax polynomial (6e-5) on [0, 1].
MP_INLINE Vec<float> softplus_low(Vec<float> x) {
  constexpr float p[5] = {9.999432779e-01f, -4.969778053e-01f, 3.063009292e-01f, -1.574272069e-01f, 4.134730230e-02f};
  const Vec<float> least = _mm512_or_ps(x, splat<float>(-0.0f));  // -|x|
  const Vec<float> e = exp2_low(least * kLog2eFloat);
  return max(Vec<float>{}, x) + e * polynomial<float>(e, p);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
