// The CUDA halves of selective_scan, causal_conv1d and bias_gelu, for models that go operator by operator. Their
// schemas, checks and autograd are in native/kernels.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <tuple>

#include "launch.h"
#include "layer_util.h"

namespace mamba_prune::cuda::operators_op {
namespace {

using at::Tensor;

// A tensor whose rows are at one distance, the last dimension contiguous.
Tensor rows_of(const Tensor& t) {
  if (!t.defined()) return t;
  const bool regular = t.dim() == 3 && t.stride(2) == 1 && (t.size(0) == 1 || t.stride(0) == t.stride(1) * t.size(1)) &&
                       t.stride(1) >= t.size(2);
  return regular ? t : t.contiguous();
}
Tensor rows_of(const OptionalTensor& t) { return rows_of(defined_or_empty(t)); }
Tensor floats(const Tensor& t) { return t.defined() ? t.to(at::kFloat).contiguous() : t; }
Tensor floats(const OptionalTensor& t) { return floats(defined_or_empty(t)); }

Scan scan_of(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
             const OptionalTensor& D, const OptionalTensor& z, const OptionalTensor& bias, bool softplus,
             const OptionalTensor& initial) {
  Scan s;
  s.u = rows_of(u), s.delta = rows_of(delta), s.z = rows_of(z), s.B = rows_of(B), s.C = rows_of(C);
  s.A = floats(A), s.D = floats(D), s.bias = floats(bias), s.initial = floats(initial);
  s.softplus = softplus, s.channels = u.size(2);
  return s;
}

std::tuple<Tensor, Tensor, Tensor> selective_scan_forward(const Tensor& u, const Tensor& delta, const Tensor& A,
                                                          const Tensor& B, const Tensor& C, const OptionalTensor& D,
                                                          const OptionalTensor& z, const OptionalTensor& bias,
                                                          bool softplus, const OptionalTensor& initial, bool save) {
  const c10::DeviceGuard guard(u.device());
  const Scan s = scan_of(u, delta, A, B, C, D, z, bias, softplus, initial);
  const Tensor y = at::empty(u.sizes(), u.options());
  const Tensor last = at::empty({u.size(0), u.size(2), A.size(1)}, u.options().dtype(at::kFloat));
  const Tensor checkpoints = save ? scan_checkpoints(s) : Tensor();
  scan_forward(s, y, false, last, checkpoints);
  return {y, last.to(u.scalar_type()), save ? checkpoints : at::empty({0}, s.A.options())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> selective_scan_backward(
    const OptionalTensor& grad_y, const OptionalTensor& grad_last, const Tensor& u, const Tensor& delta,
    const Tensor& A, const Tensor& B, const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
    const OptionalTensor& bias, bool softplus, const OptionalTensor& initial, const OptionalTensor& checkpoints) {
  const c10::DeviceGuard guard(u.device());
  const Scan s = scan_of(u, delta, A, B, C, D, z, bias, softplus, initial);
  const Tensor given = defined_or_empty(grad_y);
  const Tensor dy = given.defined() ? rows_of(given) : at::zeros(u.sizes(), u.options());
  ScanGradients g;
  g.du = at::empty(u.sizes(), u.options()), g.ddelta = at::empty(u.sizes(), u.options());
  if (s.z.defined()) g.dz = at::empty(u.sizes(), u.options());
  scan_backward(s, dy, floats(grad_last), defined_or_empty(checkpoints), false, s.initial.defined(), g);
  const int64_t states = A.size(1);
  const Tensor bc = at::empty({u.size(0), u.size(1), 2 * states}, u.options());
  reduce_states(g, states, bc, 0);
  const auto back = [&](const Tensor& t) { return t.defined() ? t.to(u.scalar_type()) : t; };
  return {g.du,
          g.ddelta,
          back(g.dA),
          bc.narrow(2, 0, states),
          bc.narrow(2, states, states),
          s.D.defined() ? back(g.dD) : Tensor(),
          g.dz,
          s.bias.defined() ? back(g.dbias) : Tensor(),
          back(g.dinitial)};
}

Conv conv_of(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  return {rows_of(x), floats(weight).view({weight.size(0), weight.size(2)}), floats(bias), silu, false};
}

Tensor causal_conv1d_forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  const c10::DeviceGuard guard(x.device());
  const Tensor y = at::empty(x.sizes(), x.options());
  conv_forward(conv_of(x, weight, bias, silu), y);
  return y;
}

std::tuple<Tensor, Tensor, Tensor> causal_conv1d_backward(const Tensor& grad, const Tensor& x, const Tensor& weight,
                                                          const OptionalTensor& bias, bool silu) {
  const c10::DeviceGuard guard(x.device());
  const Tensor dx = at::empty(x.sizes(), x.options());
  const auto [dw, db] = conv_backward(conv_of(x, weight, bias, silu), rows_of(grad), dx, false);
  return {dx, dw.view(weight.sizes()).to(weight.scalar_type()),
          defined_or_empty(bias).defined() ? db.to(weight.scalar_type()) : Tensor()};
}

Tensor bias_gelu_forward(const Tensor& x, const Tensor& bias) { return at::gelu(x + bias.to(x.scalar_type())); }
std::tuple<Tensor, Tensor> bias_gelu_backward(const Tensor& grad, const Tensor& x, const Tensor& bias) {
  const Tensor dx = at::gelu_backward(grad, x + bias.to(x.scalar_type()));
  return {dx, at::sum(dx.reshape({-1, bias.numel()}), at::IntArrayRef({0}), false, at::kFloat).to(bias.scalar_type())};
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("selective_scan_forward", selective_scan_forward);
  m.impl("selective_scan_backward", selective_scan_backward);
  m.impl("causal_conv1d_forward", causal_conv1d_forward);
  m.impl("causal_conv1d_backward", causal_conv1d_backward);
  m.impl("bias_gelu_forward", bias_gelu_forward);
  m.impl("bias_gelu_backward", bias_gelu_backward);
}

}  // namespace mamba_prune::cuda::operators_op
