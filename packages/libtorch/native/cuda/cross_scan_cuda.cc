// The CUDA halves of mamba_prune::cross_scan: a scan for each direction, in place. Schema, checks and autograd are in
// native/kernels/cross_scan.cc.
#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <tuple>
#include <vector>

#include "layer_util.h"
#include "launch.h"

namespace mamba_prune::cuda::cross_scan_op {
namespace {

using at::Tensor;

constexpr int64_t kDirections = 4;

struct Inputs {
  Tensor u, delta, A, B, C, D, bias;
  int64_t height;
};

Inputs read(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const Tensor& D,
            const Tensor& bias, int64_t height) {
  const auto floats = [](const Tensor& t) { return t.to(at::kFloat).contiguous(); };
  return {u.contiguous(), delta.contiguous(), floats(A), B, C, floats(D), floats(bias), height};
}

// B or C of a direction, which are parts of wider rows: those need not be copied.
Tensor selected(const Tensor& t, int64_t k) {
  const Tensor part = t.select(2, k);
  const bool regular = part.stride(2) == 1 && part.stride(1) >= part.size(2) &&
                       (part.size(0) == 1 || part.stride(0) == part.stride(1) * part.size(1));
  return regular ? part : part.contiguous();
}

// Rows, columns, rows from the end, columns from the end.
Scan direction(const Inputs& in, int64_t k) {
  const int64_t channels = in.u.size(2);
  const auto part = [&](const Tensor& t) { return t.narrow(0, k * channels, channels); };
  Scan s;
  s.u = in.u, s.delta = in.delta.select(0, k), s.B = selected(in.B, k), s.C = selected(in.C, k);
  s.A = part(in.A), s.D = part(in.D), s.bias = part(in.bias);
  s.softplus = true, s.reverse = k >= 2, s.channels = channels;
  s.height = k % 2 == 1 ? in.height : 0;
  return s;
}

std::tuple<Tensor, Tensor> forward(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                   const Tensor& C, const Tensor& D, const Tensor& bias, int64_t height, bool save) {
  const c10::DeviceGuard guard(u.device());
  const Inputs in = read(u, delta, A, B, C, D, bias, height);
  const Tensor y = at::empty(in.u.sizes(), in.u.options());
  Tensor checkpoints;
  if (save) {
    const Tensor one = scan_checkpoints(direction(in, 0));
    std::vector<int64_t> shape = one.sizes().vec();
    shape.insert(shape.begin(), kDirections);
    checkpoints = at::empty(shape, one.options());
  }
  for (int64_t k = 0; k < kDirections; k++)
    scan_forward(direction(in, k), y, k > 0, Tensor(), save ? checkpoints.select(0, k) : Tensor());
  return {y, save ? checkpoints : at::empty({0}, in.A.options())};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& grad, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const Tensor& D, const Tensor& bias, int64_t height, const OptionalTensor& checkpoints) {
  const c10::DeviceGuard guard(u.device());
  const Inputs in = read(u, delta, A, B, C, D, bias, height);
  const Tensor dy = grad.contiguous(), du = at::empty(in.u.sizes(), in.u.options()),
               ddelta = at::empty(in.delta.sizes(), in.delta.options());
  const int64_t states = in.A.size(1);
  std::vector<Tensor> dA, dD, dbias, dbc;
  for (int64_t k = 0; k < kDirections; k++) {
    ScanGradients g;
    g.du = du, g.ddelta = ddelta.select(0, k), g.add_du = k > 0;
    scan_backward(direction(in, k), dy, Tensor(), checkpoints->select(0, k), false, false, g);
    dA.push_back(g.dA), dD.push_back(g.dD), dbias.push_back(g.dbias);
    dbc.push_back(at::empty({in.u.size(0), in.u.size(1), 2 * states}, in.u.options()));
    reduce_states(g, states, dbc.back(), 0);
  }
  const Tensor both = at::stack(dbc, 2);
  const auto back = [](const std::vector<Tensor>& parts, const Tensor& like) {
    return at::cat(parts).to(like.scalar_type());
  };
  return {du,
          ddelta,
          back(dA, A),
          both.narrow(3, 0, states).contiguous(),
          both.narrow(3, states, states).contiguous(),
          back(dD, D),
          back(dbias, bias)};
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("cross_scan_forward", forward);
  m.impl("cross_scan_backward", backward);
}

}  // namespace mamba_prune::cuda::cross_scan_op
