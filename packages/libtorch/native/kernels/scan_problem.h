// What the CPU's scans (selective_scan_cpu.cc, cross_scan_cpu.cc) share: the parameters as the kernels want them, and
// how much of the work is one task.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>

#include "kernel_table.h"
#include "op_util.h"

namespace mamba_prune::scan_problem {

using at::Tensor;

// Tasks of at least this many state updates: below, starting a thread costs more than it saves.
constexpr int64_t kGrain = 16384;
inline int64_t grain(int64_t updates_per_task) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, updates_per_task));
}

// [channels, rows] -> [tiles, rows, tile], zero beyond the last channel.
inline Tensor pack(const Tensor& t, int64_t tiles, int64_t tile) {
  const int64_t channels = t.size(0), rows = t.size(1);
  Tensor padded = channels == tiles * tile ? t : at::constant_pad_nd(t, {0, 0, 0, tiles * tile - channels});
  return padded.view({tiles, tile, rows}).transpose(1, 2).contiguous();
}

// What both directions share. Owns the packed copies that `args` points into.
template <class T> struct Problem {
  Tensor u, delta, z, B, C, A, A_peak, skip, bias, initial;
  int64_t tile, tiles;

  Problem(const Tensor& u_, const Tensor& delta_, const Tensor& A_, const Tensor& B_, const Tensor& C_,
          const Tensor& D_, const Tensor& z_, const Tensor& delta_bias, const Tensor& initial_state)
      : u(dense_rows(u_)), delta(dense_rows(delta_)), z(dense_rows(z_)), B(dense_rows(B_)), C(dense_rows(C_)) {
    const int64_t channels = u.size(2);
    tile = kernels<T>().scan_tile;
    tiles = (channels + tile - 1) / tile;
    // exp(dt A) = 2^(dt A log2(e)): one multiplication less in the innermost loop.
    A = pack(A_.contiguous() * 1.44269504088896340736, tiles, tile);
    A_peak = A.abs().amax({1, 2});
    const auto row = [&](const Tensor& t) {
      return pack((t.defined() ? t : at::zeros({channels}, u.options())).reshape({channels, 1}), tiles, tile);
    };
    skip = row(D_);
    bias = row(delta_bias);
    if (initial_state.defined()) initial = initial_state.contiguous();
  }

  void fill(ScanInputs<T>& a, bool softplus) const {
    a.batch = u.size(0), a.length = u.size(1), a.channels = u.size(2), a.states = B.size(2), a.tiles = tiles;
    a.u = rows_of<T>(u), a.delta = rows_of<T>(delta), a.z = rows_of<T>(z), a.B = rows_of<T>(B), a.C = rows_of<T>(C);
    a.A = data_or_null<T>(A), a.A_peak = data_or_null<T>(A_peak), a.skip = data_or_null<T>(skip),
    a.delta_bias = data_or_null<T>(bias);
    a.softplus = softplus;
    a.initial = data_or_null<T>(initial);
  }
};

}  // namespace mamba_prune::scan_problem
