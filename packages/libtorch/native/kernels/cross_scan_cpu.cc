// CPU implementation of mamba_prune::cross_scan_forward and _backward. The loops are those of the selective scan
// (scan_*_kernel.h): each direction tells them in which order to take the positions, and all but the first add to
// what is there. A task does its channels of an image in all four directions, so nobody else writes where it adds,
// and what it reads is still in the cache.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <array>
#include <tuple>
#include <vector>

#include "kernel_table.h"
#include "op_util.h"
#include "scan_problem.h"
#include "scratch.h"

namespace mamba_prune::cross_scan_cpu_op {
namespace {

using at::Tensor;
using scan_problem::grain;
using scan_problem::Problem;

constexpr int64_t kDirections = 4;

// The positions of a grid in the order of each direction; the first, row by row, is the order in memory.
struct Orders {
  std::array<std::vector<int32_t>, kDirections> places;

  Orders(int64_t length, int64_t height) {
    const int64_t width = length / height;
    for (int64_t k = 1; k < kDirections; k++) places[k].resize(length);
    for (int64_t t = 0; t < length; t++) {
      const int32_t column = static_cast<int32_t>(t % height * width + t / height);
      places[1][t] = column;
      places[2][length - 1 - t] = static_cast<int32_t>(t);
      places[3][length - 1 - t] = column;
    }
  }
  const int32_t* of(int64_t k) const { return k == 0 ? nullptr : places[k].data(); }
};

template <class T> struct Directions {
  std::vector<Problem<T>> problems;
  Orders orders;

  Directions(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C, const Tensor& D,
             const Tensor& delta_bias, int64_t height)
      : orders(u.size(1), height) {
    const int64_t channels = u.size(2);
    for (int64_t k = 0; k < kDirections; k++)
      problems.emplace_back(u, delta[k], A.narrow(0, k * channels, channels), B.select(2, k), C.select(2, k),
                            D.narrow(0, k * channels, channels), Tensor(), delta_bias.narrow(0, k * channels, channels),
                            Tensor());
  }
  void fill(ScanInputs<T>& a, int64_t k) const {
    problems[k].fill(a, true);
    a.order = orders.of(k);
    a.adds = k > 0;
  }
};

// -> (y, checkpoints); checkpoints is undefined unless asked for and longer than one chunk.
std::tuple<Tensor, Tensor> forward(const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B,
                                   const Tensor& C, const Tensor& D, const Tensor& delta_bias, int64_t height,
                                   bool save) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2), states = A.size(1);
  Tensor y = at::empty({batch, length, channels}, u.options());
  Tensor checkpoints;
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "cross_scan_forward", [&] {
    const Directions<scalar_t> all(u, delta, A, B, C, D, delta_bias, height);
    const int64_t tile = all.problems[0].tile, tiles = all.problems[0].tiles;
    if (save && scan_chunks(length) > 1)
      checkpoints = at::empty({kDirections, batch, tiles, scan_chunks(length) - 1, states, tile}, u.options());
    std::array<ScanForward<scalar_t>, kDirections> calls;
    for (int64_t k = 0; k < kDirections; k++) {
      all.fill(calls[k], k);
      calls[k].y = data_or_null<scalar_t>(y), calls[k].last = nullptr;
      calls[k].checkpoints = checkpoints.defined() ? data_or_null<scalar_t>(checkpoints[k]) : nullptr;
    }
    const auto kernel = kernels<scalar_t>().scan_forward;
    at::parallel_for(0, batch * tiles, grain(kDirections * length * states * tile), [&](int64_t begin, int64_t end) {
      Scratch<scalar_t> scratch(scan_forward_scratch(states, tile));
      for (int64_t task = begin; task < end; task++)
        for (const auto& call : calls) kernel(call, task, task + 1, scratch.data());
    });
  });
  return {y, checkpoints};
}

// -> gradients of u, delta, A, B, C, D, delta_bias.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> backward(
    const Tensor& grad_y, const Tensor& u, const Tensor& delta, const Tensor& A, const Tensor& B, const Tensor& C,
    const Tensor& D, const Tensor& delta_bias, int64_t height, const OptionalTensor& saved) {
  const int64_t batch = u.size(0), length = u.size(1), channels = u.size(2), states = A.size(1);
  Tensor du = at::empty(u.sizes(), u.options()), ddelta = at::empty(delta.sizes(), u.options()), dA, dB, dC, dD, dbias;
  AT_DISPATCH_FLOATING_TYPES(u.scalar_type(), "cross_scan_backward", [&] {
    const Directions<scalar_t> all(u, delta, A, B, C, D, delta_bias, height);
    const int64_t tile = all.problems[0].tile, tiles = all.problems[0].tiles;
    const Tensor dy = dense_rows(grad_y), checkpoints = defined_or_empty(saved);
    // As selective_scan_backward has them: from the shapes alone, so that sums are the same for any number of threads.
    const int64_t slices = std::max<int64_t>(1, std::min<int64_t>(batch, 16));
    const int64_t groups = std::max<int64_t>(1, std::min<int64_t>(tiles, (32 + slices - 1) / slices));
    Tensor sum_B = at::zeros({kDirections, groups, batch, length, states}, u.options());
    Tensor sum_C = at::zeros_like(sum_B);
    Tensor rows = at::empty({kDirections, slices, tiles, states + 2, tile}, u.options());
    if (batch == 0) rows.zero_();
    std::array<ScanBackward<scalar_t>, kDirections> calls;
    for (int64_t k = 0; k < kDirections; k++) {
      ScanBackward<scalar_t>& a = calls[k];
      all.fill(a, k);
      a.slices = slices, a.groups = groups, a.group = 0;
      a.checkpoints = checkpoints.defined() ? data_or_null<scalar_t>(checkpoints[k]) : nullptr;
      a.grad_y = rows_of<scalar_t>(dy), a.grad_last = nullptr, a.grad_initial = nullptr;
      a.grad_u = data_or_null<scalar_t>(du), a.grad_delta = data_or_null<scalar_t>(ddelta[k]);
      a.grad_B = data_or_null<scalar_t>(sum_B[k]), a.grad_C = data_or_null<scalar_t>(sum_C[k]);
      a.grad_rows = data_or_null<scalar_t>(rows[k]);
    }
    const auto kernel = kernels<scalar_t>().scan_backward;
    const int64_t tasks = batch == 0 ? 0 : slices * groups;
    const int64_t updates = kDirections * batch * length * states * channels;
    at::parallel_for(0, tasks, grain(updates / std::max<int64_t>(1, tasks)), [&](int64_t begin, int64_t end) {
      Scratch<scalar_t> scratch(scan_backward_scratch(states, tile));
      for (int64_t task = begin; task < end; task++)
        for (const auto& call : calls) kernel(call, task, task + 1, scratch.data());
    });
    // [4, groups, batch, length, states] -> [batch, length, 4, states]
    const auto by_position = [](const Tensor& sums) { return sums.sum(1).permute({1, 2, 0, 3}).contiguous(); };
    dB = by_position(sum_B), dC = by_position(sum_C);
    // [4, tiles, states + 2, tile] -> [4, channels, states + 2]
    const Tensor all_rows = rows.sum(1).transpose(2, 3).reshape({kDirections, tiles * tile, states + 2});
    const Tensor sums = all_rows.narrow(1, 0, channels);
    dA = sums.narrow(2, 0, states).reshape({kDirections * channels, states});
    dD = sums.select(2, states).reshape({kDirections * channels});
    dbias = sums.select(2, states + 1).reshape({kDirections * channels});
  });
  return {du, ddelta, dA, dB, dC, dD, dbias};
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("cross_scan_forward", forward);
  m.impl("cross_scan_backward", backward);
}

}  // namespace mamba_prune::cross_scan_cpu_op
