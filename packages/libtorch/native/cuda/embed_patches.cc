// mamba_prune::embed_patches on CUDA: pixels weight^T + bias + positions, for 16 bits. What it is for is its backward
// pass: libtorch's sums over the batch, of one number for each position or for each channel, read the gradient at a
// tenth of the memory's rate.
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "../kernels/op_util.h"
#include "gemm.h"
#include "gradient_batch.h"
#include "layer_util.h"

namespace mamba_prune::cuda::embed_patches_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kName = "embed_patches";
constexpr int64_t kPiece = 8;  // columns of 16 bits that are moved at once

void check(const Tensor& pixels, const Tensor& weight, const Tensor& bias, const Tensor& positions,
           const Tensor& copy) {
  check_rows(kName, pixels);
  const auto type = pixels.scalar_type();
  TORCH_CHECK(type != at::kFloat && weight.dim() == 2 && weight.size(0) % kPiece == 0 && weight.size(1) % kPiece == 0,
              kName, ": got pixels of ", type, " and a weight of shape ", weight.sizes(),
              ", expected 16 bits, and sizes that are multiples of ", kPiece, ".");
  const int64_t model = weight.size(0), length = pixels.size(1);
  check_shape(kName, "weight", weight, {model, pixels.size(2)}, at::kFloat, pixels);
  check_shape(kName, "copy of the weight", copy, {model, pixels.size(2)}, type, pixels);
  check_shape(kName, "bias", bias, {model}, at::kFloat, pixels);
  check_shape(kName, "positions", positions, {1, length, model}, at::kFloat, pixels);
}

Tensor forward(const Tensor& pixels, const Tensor& bias, const Tensor& positions, const Tensor& copy) {
  const auto type = pixels.scalar_type();
  const Tensor out = at::empty({pixels.size(0), pixels.size(1), copy.size(0)}, pixels.options());
  gemm(mat(pixels), false, mat(copy), true, mat(out), type, type);
  return out.add_((positions + bias).to(type));
}

class EmbedPatches : public torch::autograd::Function<EmbedPatches> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& pixels, const Tensor&, const Tensor& bias,
                        const Tensor& positions, const Tensor& copy) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(pixels.device());
    ctx->save_for_backward({pixels});
    return embed_patches_op::forward(pixels, bias, positions, copy);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), kName,
                ": got backward with create_graph, expected first derivatives only.");
    if (!grads[0].defined()) return variable_list(5);
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor pixels = ctx->get_saved_variables()[0], dout = grads[0].contiguous();
    const c10::DeviceGuard guard(pixels.device());
    const int64_t batch = dout.size(0), length = dout.size(1), model = dout.size(2), all = length * model;
    if (!GradientBatch::fits(kPiece, pixels.scalar_type())) {
      const Tensor d_weight = at::empty({model, pixels.size(2)}, dout.options().dtype(at::kFloat));
      gemm(mat(dout), true, mat(pixels), false, mat(d_weight), pixels.scalar_type(), at::kFloat);
      const Tensor d_positions = at::sum(dout, at::IntArrayRef({0}), true, at::kFloat);
      return {Tensor(), d_weight, at::sum(d_positions, at::IntArrayRef({0, 1})), d_positions, Tensor()};
    }
    GradientBatch gradients;
    const Tensor d_weight = gradients.product(pixels, dout, first_of(pixels.size(2)), first_of(model), true);
    gradients.run();
    // A product with ones; of its rows, which are equal, one is kept.
    const Tensor ones = at::ones({batch, kPiece}, pixels.options());
    const Tensor d_positions = gradients.product(ones, dout.view({batch, all}), first_of(1), first_of(all));
    gradients.run();
    const Tensor d_bias = gradients.sum(d_positions.view({length, model}));
    gradients.run();
    return {Tensor(), d_weight, d_bias, d_positions.view({1, length, model}), Tensor()};
  }
};

// Without gradients: nothing is saved. Also the entry below autograd (inference mode).
Tensor plain(const Tensor& pixels_, const Tensor& weight, const Tensor& bias, const Tensor& positions,
             const Tensor& copy) {
  const c10::DeviceGuard guard(pixels_.device());
  const Tensor pixels = pixels_.contiguous();
  check(pixels, weight, bias, positions, copy);
  return forward(pixels, bias, positions, copy);
}
Tensor with_autograd(const Tensor& pixels_, const Tensor& weight, const Tensor& bias, const Tensor& positions,
                     const Tensor& copy) {
  TORCH_CHECK(!any_requires_grad({pixels_}), kName, ": got pixels that require a gradient, which they have none of.");
  if (!any_requires_grad({weight, bias, positions})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(pixels_, weight, bias, positions, copy);
  }
  const Tensor pixels = pixels_.contiguous();
  check(pixels, weight, bias, positions, copy);
  return EmbedPatches::apply(pixels, weight, bias, positions, copy);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("embed_patches(Tensor pixels, Tensor weight, Tensor bias, Tensor positions, Tensor copy) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("embed_patches", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) { m.impl("embed_patches", with_autograd); }

}  // namespace mamba_prune::cuda::embed_patches_op
