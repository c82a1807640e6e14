// mamba_prune::mamba_block: a whole block of the vision Mamba in one call, without gradients, float32 on the CPU;
// the matrices may be packed for products in low precision.
// The stages are in block_kernel.h, memory and threads in block_run.cc; here are the checks.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "block_reader.h"
#include "block_run.h"

namespace mamba_prune::mamba_block_op {
namespace {

using at::Tensor;

BlockSizes sizes_of(const Tensor& x, const Tensor& conv_weight, const Tensor& A_log, const Tensor& dt_weight,
                    const Tensor& fc1_bias) {
  TORCH_CHECK(x.dim() == 3, "mamba_block: got x of shape ", x.sizes(), ", expected [batch, length, d_model].");
  TORCH_CHECK(conv_weight.dim() == 3 && A_log.dim() == 2 && dt_weight.dim() == 2 && fc1_bias.dim() == 1,
              "mamba_block: got conv_weight, A_log, dt_weight and fc1_bias of shapes ", conv_weight.sizes(), ", ",
              A_log.sizes(), ", ", dt_weight.sizes(), " and ", fc1_bias.sizes(),
              ", expected 3, 2, 2 and 1 dimensions.");
  const BlockSizes s{x.size(1),         x.size(2),           conv_weight.size(0), A_log.size(1),
                     dt_weight.size(1), conv_weight.size(2), fc1_bias.size(0)};
  TORCH_CHECK(
      s.model > 0 && s.inner > 0 && s.states > 0 && s.rank > 0 && s.hidden > 0 && s.taps > 0 && s.taps <= kConvMaxTaps,
      "mamba_block: got d_model ", s.model, ", d_inner ", s.inner, ", d_state ", s.states, ", dt_rank ", s.rank,
      ", mlp ", s.hidden, ", d_conv ", s.taps, ", expected positive sizes and at most ", kConvMaxTaps, " taps.");
  return s;
}

Tensor forward(const Tensor& x_, const Tensor& norm1_weight, const Tensor& norm1_bias, const Tensor& in_proj,
               const Tensor& conv_weight, const Tensor& conv_bias, const Tensor& x_proj, const Tensor& dt_weight,
               const Tensor& dt_bias, const Tensor& A_log, const Tensor& D, const Tensor& out_proj,
               const Tensor& norm2_weight, const Tensor& norm2_bias, const Tensor& fc1_weight, const Tensor& fc1_bias,
               const Tensor& fc2_weight, const Tensor& fc2_bias, double eps) {
  TORCH_CHECK(x_.scalar_type() == at::kFloat, "mamba_block: got x of dtype ", x_.scalar_type(),
              ", expected float32. Use the single operators.");
  refuse_gradient("mamba_block", x_);
  at::AutoDispatchBelowADInplaceOrView below;
  const Tensor x = x_.contiguous();
  BlockArgs a{};
  a.sizes = sizes_of(x, conv_weight, A_log, dt_weight, fc1_bias);
  const BlockSizes& s = a.sizes;
  BlockReader read("mamba_block", x);
  a.weights = {
      read.floats("norm1_weight", norm1_weight, {s.model}, "[d_model]"),
      read.floats("norm1_bias", norm1_bias, {s.model}, "[d_model]"),
      read.matrix("in_proj", in_proj, 2 * s.inner, s.model, "[2 d_inner, d_model]"),
      {{read.floats("conv_weight", conv_weight, {s.inner, 1, s.taps}, "[d_inner, 1, d_conv]"),
        read.floats("conv_bias", conv_bias, {s.inner}, "[d_inner]"),
        read.narrow_matrix("x_proj", x_proj, s.rank + 2 * s.states, s.inner, "[dt_rank + 2 d_state, d_inner]"),
        read.floats("dt_weight", dt_weight, {s.inner, s.rank}, "[d_inner, dt_rank]"),
        read.floats("dt_bias", dt_bias, {s.inner}, "[d_inner]"),
        read.floats("A_log", A_log, {s.inner, s.states}, "[d_inner, d_state]"),
        read.floats("D", D, {s.inner}, "[d_inner]")}},
      read.matrix("out_proj", out_proj, s.model, s.inner, "[d_model, d_inner]"),
      read.floats("norm2_weight", norm2_weight, {s.model}, "[d_model]"),
      read.floats("norm2_bias", norm2_bias, {s.model}, "[d_model]"),
      read.matrix("fc1_weight", fc1_weight, s.hidden, s.model, "[mlp, d_model]"),
      read.floats("fc1_bias", fc1_bias, {s.hidden}, "[mlp]"),
      read.matrix("fc2_weight", fc2_weight, s.model, s.hidden, "[d_model, mlp]"),
      read.floats("fc2_bias", fc2_bias, {s.model}, "[d_model]"),
  };
  a.low = read.kernels(), a.low_x = read.narrow_kernels();
  Tensor y = at::empty(x.sizes(), x.options());
  a.eps = static_cast<float>(eps), a.batch = x.size(0);
  a.x = data_or_null<float>(x), a.y = data_or_null<float>(y);
  if (x.numel() == 0) return y;
  run_block(a);
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "mamba_block(Tensor x, Tensor norm1_weight, Tensor norm1_bias, Tensor in_proj, Tensor conv_weight, Tensor "
      "conv_bias, Tensor x_proj, "
      "Tensor dt_weight, Tensor dt_bias, Tensor A_log, Tensor D, Tensor out_proj, Tensor norm2_weight, Tensor "
      "norm2_bias, "
      "Tensor fc1_weight, Tensor fc1_bias, Tensor fc2_weight, Tensor fc2_bias, float eps=1e-5) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("mamba_block", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("mamba_block", forward); }

}  // namespace mamba_prune::mamba_block_op
