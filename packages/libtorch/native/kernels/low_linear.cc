// mamba_prune::low_linear: activation(x W^T + bias + residual) with a matrix that pack_low made, for inference on the
// CPU. Activations and results are float32.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "low_packed.h"
#include "op_util.h"
#include "packed.h"
#include "scratch.h"

namespace mamba_prune::low_linear_op {
namespace {

using at::Tensor;

Tensor forward(const Tensor& x_, const Tensor& weight, const OptionalTensor& bias_, const OptionalTensor& residual_,
               bool gelu) {
  const Tensor bias = defined_or_empty(bias_), residual = defined_or_empty(residual_);
  TORCH_CHECK(x_.is_cpu() && x_.scalar_type() == at::kFloat && x_.layout() == at::kStrided && x_.dim() >= 1,
              "low_linear: got x of ", x_.scalar_type(), " and shape ", x_.sizes(), " on ", x_.device(),
              ", expected float32 of shape [..., depth] on the CPU.");
  for (const Tensor& t : {x_, bias, residual})
    if (t.defined()) refuse_gradient("low_linear", t);
  at::AutoDispatchBelowADInplaceOrView below;
  const LowKernels& kernels = kernels_for("low_linear", weight);
  const int64_t columns = low_columns("low_linear", weight), depth = x_.size(-1);
  LowProduct g{};
  g.weight = low_matrix("low_linear", "weight", weight, kernels, columns, depth);
  std::vector<int64_t> shape = x_.sizes().vec();
  shape.back() = columns;
  check_tensor("low_linear", "bias", bias, {columns}, "[columns]", x_);
  check_tensor("low_linear", "residual", residual, shape, "the shape of the result", x_);
  const Tensor x = x_.contiguous(), b = bias.defined() ? bias.contiguous() : bias,
               r = residual.defined() ? residual.contiguous() : residual, out = at::empty(shape, x.options());
  if (out.numel() == 0) return out;
  g.rows = x.numel() / depth;
  g.out = static_cast<float*>(out.data_ptr()), g.out_stride = columns;
  g.bias = data_or_null<float>(b), g.residual = data_or_null<float>(r);
  g.activation = gelu ? Activation::gelu : Activation::none;
  const LowScratch layout(kernels.precision, g.rows, depth);
  const Scratch<float> memory(layout.total);
  const LowRows rows = layout.in(memory.data());
  at::parallel_for(0, g.rows, std::max<int64_t>(1, 32768 / depth), [&](int64_t begin, int64_t end) {
    kernels.convert(static_cast<const float*>(x.data_ptr()), depth, depth, rows, begin, end);
  });
  // Whole tiles of rows, so that the same rows are multiplied together whatever the number of threads.
  const int64_t panels = (columns + kLowPanel - 1) / kLowPanel, tiles = (g.rows + kernels.tile - 1) / kernels.tile;
  const int64_t grain = std::max<int64_t>(1, 500'000 / (kernels.tile * columns * depth));
  at::parallel_for(0, tiles, grain, [&](int64_t begin, int64_t end) {
    const int64_t past = std::min(end * kernels.tile, g.rows);
    kernels.multiply(g, rows, 0, panels, begin * kernels.tile, past);
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("low_linear(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None, bool gelu=False) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("low_linear", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("low_linear", forward); }

}  // namespace mamba_prune::low_linear_op
