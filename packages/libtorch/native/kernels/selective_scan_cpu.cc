// CPU implementation of mamba_prune::selective_scan_forward and _backward: splits the work into tasks, adds up partial
// sums. scan_problem.h lays out the parameters. The loops are in scan_*_kernel.h.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "kernel_table.h"
#include "op_util.h"
#include "scan_problem.h"
#include "scratch.h"
#include "training_parts.h"

namespace mamba_prune::selective_scan_cpu_op {

using at::Tensor;
using scan_problem::grain;
using scan_problem::Problem;

// -> (y, last_state, checkpoints); checkpoints is undefined unless asked for and longer than one chunk.
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                           const Tensor& C, const OptionalTensor& D, const OptionalTensor& z,
                                           const OptionalTensor& delta_bias, bool softplus,
                                           const OptionalTensor& initial_state, bool save) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2), states = B.size(2);
  Tensor y = at::empty({batch, length, channels}, u.options());
  Tensor last = at::empty({batch, channels, states}, u.options());
  Tensor checkpoints;
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "selective_scan_forward", [&] {
    const Problem<scalar_t> problem(u, delta, A, B, C, defined_or_empty(D), defined_or_empty(z),
                                    defined_or_empty(delta_bias), defined_or_empty(initial_state));
    const int64_t tile = problem.tile, tiles = problem.tiles;
    ScanForward<scalar_t> a;
    problem.fill(a, softplus);
    if (save && scan_chunks(length) > 1)
      checkpoints = at::empty({batch, tiles, scan_chunks(length) - 1, states, tile}, u.options());
    a.y = data_or_null<scalar_t>(y), a.last = data_or_null<scalar_t>(last);
    a.checkpoints = data_or_null<scalar_t>(checkpoints);
    const auto kernel = kernels<scalar_t>().scan_forward;
    at::parallel_for(0, batch * tiles, grain(length * states * tile), [&](int64_t begin, int64_t end) {
      Scratch<scalar_t> scratch(scan_forward_scratch(states, tile));
      kernel(a, begin, end, scratch.data());
    });
  });
  return {y, last, checkpoints};
}

// -> gradients of u, delta, A, B, C, D, z, delta_bias, initial_state; undefined for absent inputs. That of z is written
// into `dz` where it is given, whose rows must be dense.
ScanGradients backward(const OptionalTensor& grad_y, const OptionalTensor& grad_last, const Tensor& u,
                       const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const OptionalTensor& D,
                       const OptionalTensor& z, const OptionalTensor& delta_bias, bool softplus,
                       const OptionalTensor& initial_state, const OptionalTensor& saved, Tensor dz) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2), states = B.size(2);
  const auto like = [&](const Tensor& t) { return at::empty(t.sizes(), u.options()); };
  Tensor du = like(u), ddelta = like(delta), dA, dB, dC, dD, dbias, dinitial;
  if (!dz.defined() && z.has_value() && z->defined()) dz = like(*z);
  if (initial_state.has_value() && initial_state->defined()) dinitial = like(*initial_state);
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "selective_scan_backward", [&] {
    const Problem<scalar_t> problem(u, delta, A, B, C, defined_or_empty(D), defined_or_empty(z),
                                    defined_or_empty(delta_bias), defined_or_empty(initial_state));
    const int64_t tile = problem.tile, tiles = problem.tiles;
    ScanBackward<scalar_t> a;
    problem.fill(a, softplus);
    // Enough tasks for big machines, few enough that partial sums stay small. Both numbers follow from
    // the shapes alone, so the sums are the same for every number of threads.
    a.slices = std::max<int64_t>(1, std::min<int64_t>(batch, 16));
    a.groups = std::max<int64_t>(1, std::min<int64_t>(tiles, (32 + a.slices - 1) / a.slices));
    a.group = 0;
    const Tensor dy = dense_rows(defined_or_empty(grad_y)), checkpoints = defined_or_empty(saved);
    Tensor dlast = defined_or_empty(grad_last);
    if (dlast.defined()) dlast = dlast.contiguous();
    Tensor sum_B = at::zeros({a.groups, batch, length, states}, u.options()), sum_C = at::zeros_like(sum_B);
    Tensor rows = at::empty({a.slices, tiles, states + 2, tile}, u.options());
    if (batch == 0) rows.zero_();
    a.checkpoints = data_or_null<scalar_t>(checkpoints);
    a.grad_y = rows_of<scalar_t>(dy), a.grad_last = data_or_null<scalar_t>(dlast);
    a.grad_u = data_or_null<scalar_t>(du), a.grad_delta = data_or_null<scalar_t>(ddelta);
    a.grad_z = rows_to_write<scalar_t>(dz), a.grad_initial = data_or_null<scalar_t>(dinitial);
    a.grad_B = data_or_null<scalar_t>(sum_B), a.grad_C = data_or_null<scalar_t>(sum_C);
    a.grad_rows = data_or_null<scalar_t>(rows);
    const auto kernel = kernels<scalar_t>().scan_backward;
    const int64_t tasks = batch == 0 ? 0 : a.slices * a.groups;
    at::parallel_for(0, tasks, grain(batch * length * states * channels / std::max<int64_t>(1, tasks)),
                     [&](int64_t begin, int64_t end) {
                       Scratch<scalar_t> scratch(scan_backward_scratch(states, tile));
                       kernel(a, begin, end, scratch.data());
                     });
    dB = a.groups == 1 ? sum_B[0] : sum_B.sum(0);
    dC = a.groups == 1 ? sum_C[0] : sum_C.sum(0);
    // [tiles, states + 2, tile] -> [channels, states + 2]
    const Tensor sums = rows.sum(0).transpose(1, 2).reshape({tiles * tile, states + 2}).narrow(0, 0, channels);
    dA = sums.narrow(1, 0, states).contiguous();
    if (D.has_value() && D->defined()) dD = sums.select(1, states).contiguous();
    if (delta_bias.has_value() && delta_bias->defined()) dbias = sums.select(1, states + 1).contiguous();
  });
  return {du, ddelta, dA, dB, dC, dD, dz, dbias, dinitial};
}

namespace {

ScanGradients plain_backward(const OptionalTensor& grad_y, const OptionalTensor& grad_last, const Tensor& u,
                             const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
                             const OptionalTensor& D, const OptionalTensor& z, const OptionalTensor& delta_bias,
                             bool softplus, const OptionalTensor& initial_state, const OptionalTensor& saved) {
  return backward(grad_y, grad_last, u, delta, A, B, C, D, z, delta_bias, softplus, initial_state, saved, Tensor());
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("selective_scan_forward", forward);
  m.impl("selective_scan_backward", plain_backward);
}

}  // namespace mamba_prune::selective_scan_cpu_op
