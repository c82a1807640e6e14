// mamba_prune::vim_block: a block of Vim (Zhu et al. 2024, arXiv 2401.09417) in one call, without gradients, float32 on
// the CPU: x + out_proj(scale sum of scans(in_proj(norm(x)))), with RMSNorm, one or two directions, and no MLP; the
// matrices may be packed for products in low precision. The
// stages are in block_kernel.h, memory and threads in block_run.cc; here are the checks.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "block_reader.h"
#include "block_run.h"

namespace mamba_prune::vim_block_op {
namespace {

using at::Tensor;

constexpr size_t kPerDirection = 7;

BlockSizes sizes_of(const Tensor& x, at::TensorList scans) {
  TORCH_CHECK(x.dim() == 3, "vim_block: got x of shape ", x.sizes(), ", expected [batch, length, d_model].");
  TORCH_CHECK(scans.size() == kPerDirection || scans.size() == 2 * kPerDirection, "vim_block: got ", scans.size(),
              " weights of scans, expected ", kPerDirection, ", or ", 2 * kPerDirection, " for two directions.");
  const Tensor &conv = scans[0], &dt = scans[3], &A_log = scans[5];
  TORCH_CHECK(conv.dim() == 3 && dt.dim() == 2 && A_log.dim() == 2,
              "vim_block: got conv_weight, dt_weight and A_log of shapes ", conv.sizes(), ", ", dt.sizes(), " and ",
              A_log.sizes(), ", expected 3, 2 and 2 dimensions.");
  const BlockSizes s{x.size(1),
                     x.size(2),
                     conv.size(0),
                     A_log.size(1),
                     dt.size(1),
                     conv.size(2),
                     0,
                     static_cast<int64_t>(scans.size() / kPerDirection)};
  TORCH_CHECK(s.model > 0 && s.inner > 0 && s.states > 0 && s.rank > 0 && s.taps > 0 && s.taps <= kConvMaxTaps,
              "vim_block: got d_model ", s.model, ", d_inner ", s.inner, ", d_state ", s.states, ", dt_rank ", s.rank,
              ", d_conv ", s.taps, ", expected positive sizes and at most ", kConvMaxTaps, " taps.");
  return s;
}

Tensor forward(const Tensor& x_, const Tensor& norm_weight, const Tensor& in_proj, at::TensorList scans,
               const Tensor& out_proj, double eps, double scale) {
  TORCH_CHECK(x_.scalar_type() == at::kFloat && x_.is_cpu(), "vim_block: got x of dtype ", x_.scalar_type(), " on ",
              x_.device(), ", expected float32 on the CPU. Use the single operators.");
  refuse_gradient("vim_block", x_);
  at::AutoDispatchBelowADInplaceOrView below;
  const Tensor x = x_.contiguous();
  BlockArgs a{};
  a.sizes = sizes_of(x, scans);
  const BlockSizes& s = a.sizes;
  BlockReader read("vim_block", x);
  a.weights.norm1_weight = read.floats("norm_weight", norm_weight, {s.model}, "[d_model]");
  a.weights.in_proj = read.matrix("in_proj", in_proj, 2 * s.inner, s.model, "[2 d_inner, d_model]");
  for (int64_t d = 0; d < s.directions; d++) {
    const Tensor* w = &scans[static_cast<size_t>(d) * kPerDirection];
    a.weights.scans[d] = {
        read.floats("conv_weight", w[0], {s.inner, 1, s.taps}, "[d_inner, 1, d_conv]"),
        read.floats("conv_bias", w[1], {s.inner}, "[d_inner]"),
        read.narrow_matrix("x_proj", w[2], s.rank + 2 * s.states, s.inner, "[dt_rank + 2 d_state, d_inner]"),
        read.floats("dt_weight", w[3], {s.inner, s.rank}, "[d_inner, dt_rank]"),
        read.floats("dt_bias", w[4], {s.inner}, "[d_inner]"),
        read.floats("A_log", w[5], {s.inner, s.states}, "[d_inner, d_state]"),
        read.floats("D", w[6], {s.inner}, "[d_inner]"),
    };
  }
  a.weights.out_proj = read.matrix("out_proj", out_proj, s.model, s.inner, "[d_model, d_inner]");
  a.low = read.kernels(), a.low_x = read.narrow_kernels();
  Tensor y = at::empty(x.sizes(), x.options());
  a.eps = static_cast<float>(eps), a.sum_scale = static_cast<float>(scale), a.batch = x.size(0);
  a.x = data_or_null<float>(x), a.y = data_or_null<float>(y);
  if (x.numel() > 0) run_block(a);
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "vim_block(Tensor x, Tensor norm_weight, Tensor in_proj, Tensor[] scans, Tensor out_proj, float eps=1e-5, "
      "float scale=0.5) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("vim_block", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("vim_block", forward); }

}  // namespace mamba_prune::vim_block_op
