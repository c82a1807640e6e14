// CPU implementation of mamba_prune::causal_conv1d_forward and _backward; the loops are in conv_kernel.h.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <tuple>

#include "kernel_table.h"
#include "op_util.h"
#include "scratch.h"
#include "training_parts.h"

namespace mamba_prune::causal_conv1d_cpu_op {
namespace {

using at::Tensor;

// One task should cover at least this many elements.
constexpr int64_t kGrain = 16384;
int64_t grain(int64_t elements_per_task) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, elements_per_task));
}

template <class T> struct Problem {
  Tensor x, weight, bias;

  // x must stay alive as long as this object: x_ may be a temporary view.
  Problem(const Tensor& x_, const Tensor& weight_, const OptionalTensor& bias_) : x(dense_rows(x_)) {
    const int64_t channels = x.size(2), taps = weight_.size(2);
    const int64_t padded = (channels + kConvBlock - 1) / kConvBlock * kConvBlock;
    weight = at::zeros({taps, padded}, x.options());
    weight.narrow(1, 0, channels).copy_(weight_.view({channels, taps}).t());
    bias = at::zeros({padded}, x.options());
    if (bias_.has_value() && bias_->defined()) bias.narrow(0, 0, channels).copy_(*bias_);
  }
  void fill(ConvInputs<T>& a, bool silu) const {
    a.batch = x.size(0), a.length = x.size(1), a.channels = x.size(2), a.taps = weight.size(0),
    a.padded = weight.size(1);
    a.x = rows_of<T>(x);
    a.weight = data_or_null<T>(weight), a.bias = data_or_null<T>(bias);
    a.silu = silu;
  }
};

}  // namespace

Tensor forward(const Tensor& x, const Tensor& weight, const OptionalTensor& bias, bool silu) {
  Tensor y = at::empty(x.sizes(), x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "causal_conv1d_forward", [&] {
    const Problem<scalar_t> problem(x, weight, bias);
    ConvForward<scalar_t> a;
    problem.fill(a, silu);
    a.y = data_or_null<scalar_t>(y), a.y_stride = a.channels;
    const auto kernel = kernels<scalar_t>().conv_forward;
    at::parallel_for(0, a.batch * (a.padded / kConvBlock), grain(a.length * kConvBlock),
                     [&](int64_t begin, int64_t end) {
                       Scratch<scalar_t> scratch(conv_scratch(a.taps));
                       kernel(a, begin, end, scratch.data());
                     });
  });
  return y;
}

// -> gradients of x, weight, bias (undefined without a bias). That of x is written into `dx` where it is given, whose
// rows must be dense.
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& grad_y, const Tensor& x, const Tensor& weight,
                                            const OptionalTensor& bias, bool silu, Tensor dx) {
  if (!dx.defined()) dx = at::empty(x.sizes(), x.options());
  Tensor dweight, dbias;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "causal_conv1d_backward", [&] {
    const Problem<scalar_t> problem(x, weight, bias);
    ConvBackward<scalar_t> a;
    problem.fill(a, silu);
    const Tensor dy = dense_rows(grad_y);
    const int64_t blocks = a.padded / kConvBlock;
    a.slices = std::min<int64_t>(a.batch, 32);  // from the shapes alone: the same sums for any number of threads
    Tensor rows = at::empty({a.slices, a.taps + 1, a.padded}, x.options());
    a.grad_y = rows_of<scalar_t>(dy);
    a.grad_x = rows_to_write<scalar_t>(dx), a.grad_rows = data_or_null<scalar_t>(rows);
    const auto kernel = kernels<scalar_t>().conv_backward;
    at::parallel_for(0, a.slices * blocks, grain(a.batch * a.length * kConvBlock / std::max<int64_t>(1, a.slices)),
                     [&](int64_t begin, int64_t end) {
                       Scratch<scalar_t> scratch(conv_scratch(a.taps));
                       kernel(a, begin, end, scratch.data());
                     });
    const Tensor sums = rows.sum(0).narrow(1, 0, a.channels);
    dweight = sums.narrow(0, 0, a.taps).t().contiguous().view(weight.sizes());
    if (bias.has_value() && bias->defined()) dbias = sums.select(0, a.taps).clone();
  });
  return {dx, dweight, dbias};
}

namespace {

std::tuple<Tensor, Tensor, Tensor> plain_backward(const Tensor& grad_y, const Tensor& x, const Tensor& weight,
                                                  const OptionalTensor& bias, bool silu) {
  return backward(grad_y, x, weight, bias, silu, Tensor());
}

}  // namespace

TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) {
  m.impl("causal_conv1d_forward", forward);
  m.impl("causal_conv1d_backward", plain_backward);
}

}  // namespace mamba_prune::causal_conv1d_cpu_op
