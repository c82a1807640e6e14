// The factors 2^(dt A) of a scan in low precision, A and dt A not above 0. Where dt A stays near 0, a polynomial in dt
// takes less than half of the instructions of exp2_low, and its coefficients stay in registers for many steps.
// Included by isa_*.cc after low_math.h.
namespace mamba_prune {
namespace MP_ISA {

// 1 + x (c[0] + x (c[1] + ...)) is within 1e-4 of 2^x for x from -reach to 0, and its difference from 1 within 0.4% of
// that of 2^x, so that factors close to 1, of which a scan multiplies many, stay as close to it. Minimax polynomials.
template <int Degree> struct NearOne;
template <> struct NearOne<2> {
  static constexpr float reach = 1.0f / 3, c[2] = {6.909289360e-01f, 2.168114036e-01f};
};
template <> struct NearOne<3> {
  static constexpr float reach = 1.125f, c[3] = {6.913442016e-01f, 2.300428003e-01f, 3.861467168e-02f};
};
template <> struct NearOne<4> {
  static constexpr float reach = 2.25f, c[4] = {6.919428706e-01f, 2.347106785e-01f, 4.745325819e-02f, 4.661778919e-03f};
};
template <> struct NearOne<5> {
  static constexpr float reach = 4, c[5] = {6.919993758e-01f, 2.358467132e-01f, 4.995803908e-02f, 6.396667100e-03f,
                                            3.743906855e-04f};
};

// Of a register of channels: `Degree` instructions a step.
template <int Degree> struct Factor {
  Vec<float> power[Degree];
  MP_INLINE void prepare(Vec<float> A) {
    Vec<float> of = A;
#pragma GCC unroll 8
    for (int k = 0; k < Degree; k++, of *= A) power[k] = of * NearOne<Degree>::c[k];
  }
  MP_INLINE Vec<float> at(Vec<float> step) const {
    Vec<float> sum = power[Degree - 1];
#pragma GCC unroll 8
    for (int k = Degree - 2; k >= 0; k--) sum = sum * step + power[k];
    return sum * step + 1.0f;
  }
};

// For any dt A.
constexpr int kAnyFactor = 0;
template <> struct Factor<kAnyFactor> {
  Vec<float> A;
  MP_INLINE void prepare(Vec<float> from) { A = from; }
  MP_INLINE Vec<float> at(Vec<float> step) const { return exp2_low(step * A); }
};

// The least degree for |dt A| up to `most`; NaN is for any.
MP_INLINE int degree_for(Vec<float> most) {
  constexpr float reach[4] = {NearOne<2>::reach, NearOne<3>::reach, NearOne<4>::reach, NearOne<5>::reach};
  for (int i = 0; i < 4; i++)
    if (_mm512_cmp_ps_mask(most, splat<float>(reach[i]), _CMP_NLE_UQ) == 0) return i + 2;
  return kAnyFactor;
}

}  // namespace MP_ISA
}  // namespace mamba_prune
