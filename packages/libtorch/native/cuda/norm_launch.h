// How LayerNorm and RMSNorm are launched. Their kernels differ in what a row's numbers become, and in the type of x,
// which the arguments of kernels/norm_interface.h say; a block takes four rows, and goes on with others.
#pragma once
#include <algorithm>

#include "kernel.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

constexpr unsigned kNormThreads = 128;

struct NormKernels {
  const char *file, *forward, *backward;
};

namespace norm_launch {

template <class Pointer> void point(Pointer& to, const at::Tensor& t) { to = static_cast<Pointer>(pointer(t)); }

// Blocks for so many rows, at most `most` for each multiprocessor.
inline int64_t blocks_of(const Mat& rows, int64_t most) {
  return std::clamp<int64_t>(ceil_div(rows.rows, kNormThreads / 32), 1, most * multiprocessors());
}

template <class Args> Args args_of(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const Mat rows = mat(x);
  Args a{};
  point(a.x, x), a.weight = float_pointer(weight), a.x_row = rows.stride;
  a.rows = static_cast<int>(rows.rows), a.eps = static_cast<float>(eps);
  return a;
}

inline Defines defines_of(at::ScalarType type, std::initializer_list<at::Tensor> moved, int64_t width, bool has_skip) {
  return {{"SCALAR", scalar_code(type)},
          {"WIDTH", width},
          {"VECTOR", vector_of(moved, width)},
          {"HAS_SKIP", has_skip},
          {"THREADS", kNormThreads}};
}

}  // namespace norm_launch

/** @param a of norm_launch::args_of, with what only one of the two has; x has rows. */
template <class Args>
void run_norm_forward(const NormKernels& kernels, Args a, const at::Tensor& x, const at::Tensor& y) {
  using namespace norm_launch;
  point(a.y, y), a.y_row = mat(y).stride;
  find_kernel(kernels.file, kernels.forward, defines_of(y.scalar_type(), {x, y}, x.size(-1), false))
      .launch({u32(blocks_of(mat(x), 16))}, kNormThreads, 0, a);
}

/**
 * dx = the layer's gradient + dskip, which may be undefined.
 * @param sums over rows that the kernel leaves
 * @return them, float32 [sums width]
 */
template <class Args> at::Tensor run_norm_backward(const NormKernels& kernels, Args a, int64_t sums,
                                                   const at::Tensor& x, const at::Tensor& dy, const at::Tensor& dskip,
                                                   const at::Tensor& dx) {
  using namespace norm_launch;
  const int64_t width = x.size(-1), blocks = blocks_of(mat(x), 8);
  const at::Tensor partial = at::empty({blocks, sums * width}, floats(x));
  point(a.dy, dy), point(a.dskip, dskip), point(a.dx, dx), a.partial = float_pointer(partial);
  a.dy_row = mat(dy).stride, a.dx_row = mat(dx).stride, a.dskip_row = dskip.defined() ? mat(dskip).stride : 0;
  find_kernel(kernels.file, kernels.backward, defines_of(dy.scalar_type(), {x, dy, dskip, dx}, width, dskip.defined()))
      .launch({u32(blocks)}, kNormThreads, 0, a);
  return reduce_rows(partial);
}

}  // namespace mamba_prune::cuda
