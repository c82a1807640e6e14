// mamba_prune::mlp_block on CUDA: x + scale * fc2(gelu(fc1(norm(x)))), with its backward pass written out. In 16 bits
// bias, GELU (in its tanh form, which differs from the exact one by less than the type's rounding) and residual are part
// of the products; in float32 the exact GELU is computed between them.
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "launch.h"
#include "layer_util.h"

namespace mamba_prune::cuda::mlp_block_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Mlp {
  Tensor norm_weight, norm_bias;
  double eps = 0;
  // The products' weights and biases in the type of the activations, padded.
  Tensor fc1, bias1, fc2, bias2;
  int64_t neurons = 0, width = 0, model = 0;
};

constexpr size_t kWeights = 4;

Mlp read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps, const std::vector<Tensor>& weights,
         const std::vector<Tensor>& packed) {
  const char* op = "mlp_block";
  TORCH_CHECK(weights.size() == kWeights && packed.size() == kWeights, op, ": got ", weights.size(), " weights and ", packed.size(),
              " packed weights, expected 4 of each: fc1, its bias, fc2, its bias.");
  check_rows(op, x);
  Mlp m{norm_weight, norm_bias, eps, packed[0], packed[1], packed[2], packed[3]};
  TORCH_CHECK(weights[0].dim() == 2 && m.fc1.dim() == 2, op, ": got fc1 of shape ", weights[0].sizes(), ", expected [neurons, d_model].");
  m.model = x.size(2), m.neurons = weights[0].size(0), m.width = m.fc1.size(0);
  TORCH_CHECK(m.neurons > 0 && m.width >= m.neurons, op, ": got ", m.neurons, " neurons padded to ", m.width, ".");
  check_shape(op, "norm weight", norm_weight, {m.model}, at::kFloat, x), check_shape(op, "norm bias", norm_bias, {m.model}, at::kFloat, x);
  check_shape(op, "fc1 weight", weights[0], {m.neurons, m.model}, at::kFloat, x), check_shape(op, "fc1 bias", weights[1], {m.neurons}, at::kFloat, x);
  check_shape(op, "fc2 weight", weights[2], {m.model, m.neurons}, at::kFloat, x), check_shape(op, "fc2 bias", weights[3], {m.model}, at::kFloat, x);
  const auto type = x.scalar_type();
  check_shape(op, "packed fc1 weight", m.fc1, {m.width, m.model}, type, x), check_shape(op, "packed fc1 bias", m.bias1, {m.width}, type, x);
  check_shape(op, "packed fc2 weight", m.fc2, {m.model, m.width}, type, x), check_shape(op, "packed fc2 bias", m.bias2, {m.model}, type, x);
  return m;
}

// before: fc1's result with its bias.
struct Kept {
  Tensor n, before, hidden;
};

Tensor run_forward(const Mlp& m, const Tensor& x, const Tensor& scale, Kept* keep) {
  const auto type = x.scalar_type();
  const auto like = [&](int64_t columns) { return at::empty({x.size(0), x.size(1), columns}, x.options()); };
  Kept kept;
  kept.n = like(m.model);
  norm_forward(x, m.norm_weight, m.norm_bias, m.eps, kept.n);
  Extra first;
  first.bias = m.bias1.data_ptr();
  if (type == at::kFloat) {
    kept.before = like(m.width);
    first.epilogue = Epilogue::bias;
    gemm(mat(kept.n), false, mat(m.fc1), true, mat(kept.before), type, type, first);
    kept.hidden = at::gelu(kept.before);
  } else {
    kept.hidden = like(m.width);
    first.epilogue = Epilogue::gelu_bias;
    if (keep) {
      kept.before = like(m.width);
      first.epilogue = Epilogue::gelu_aux_bias, first.aux = kept.before.data_ptr(), first.aux_stride = m.width;
    }
    gemm(mat(kept.n), false, mat(m.fc1), true, mat(kept.hidden), type, type, first);
  }
  const Tensor out = like(m.model);
  const Mat residual = mat(x);
  Extra second;
  second.epilogue = Epilogue::bias, second.bias = m.bias2.data_ptr();
  if (!scale.defined()) second.add = &residual;
  gemm(mat(kept.hidden), false, mat(m.fc2), true, mat(out), type, type, second);
  if (scale.defined()) out.mul_(scale.view({-1, 1, 1})).add_(x);
  if (keep) *keep = kept;
  return out;
}

// Gradients of x, norm weight, norm bias, then of the four weights.
variable_list run_backward(const Mlp& m, const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) {
  const auto type = x.scalar_type();
  const auto like = [&](int64_t columns) { return at::empty({x.size(0), x.size(1), columns}, x.options()); };
  const auto gradient = [&](at::IntArrayRef shape) { return at::empty(shape, x.options().dtype(at::kFloat)); };
  const Tensor dbranch = scale.defined() ? dout * scale.view({-1, 1, 1}).to(type) : dout;
  Tensor d_fc2 = gradient({m.model, m.width});
  gemm(mat(dbranch), true, mat(kept.hidden), false, mat(d_fc2), type, at::kFloat);
  Tensor dbefore = like(m.width);
  gemm(mat(dbranch), false, mat(m.fc2), false, mat(dbefore), type, type);
  Tensor d_bias1;
  if (type == at::kFloat) {
    dbefore = at::gelu_backward(dbefore, kept.before);
    d_bias1 = at::sum(dbefore, at::IntArrayRef({0, 1}), false, at::kFloat);
  } else {
    d_bias1 = gelu_backward_(dbefore, kept.before);
  }
  Tensor d_fc1 = gradient({m.width, m.model});
  gemm(mat(dbefore), true, mat(kept.n), false, mat(d_fc1), type, at::kFloat);
  const Tensor dn = like(m.model), dx = like(m.model);
  gemm(mat(dbefore), false, mat(m.fc1), false, mat(dn), type, type);
  const Tensor d_norm = norm_backward(x, m.norm_weight, m.eps, dn, dout, dx);
  // The residual's gradient is the branch's too, so that the normalisation has already summed it.
  const Tensor d_bias2 = scale.defined() ? at::sum(dbranch, at::IntArrayRef({0, 1}), false, at::kFloat) : d_norm.select(0, 2);
  if (m.width != m.neurons) {
    d_fc1 = d_fc1.narrow(0, 0, m.neurons), d_bias1 = d_bias1.narrow(0, 0, m.neurons);
    d_fc2 = d_fc2.narrow(1, 0, m.neurons).contiguous();
  }
  return {dx, d_norm.select(0, 0), d_norm.select(0, 1), d_fc1, d_bias1, d_fc2, d_bias2};
}

struct MlpBlock : public torch::autograd::Function<MlpBlock> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                        at::TensorList weights, at::TensorList packed, const OptionalTensor& scale) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(x.device());
    const Mlp mlp = read(x, norm_weight, norm_bias, eps, weights.vec(), packed.vec());
    Kept kept;
    const Tensor out = run_forward(mlp, x, defined_or_empty(scale), &kept);
    variable_list saved = {x, norm_weight, norm_bias, defined_or_empty(scale), kept.n, kept.before, kept.hidden};
    saved.insert(saved.end(), weights.begin(), weights.end());
    saved.insert(saved.end(), packed.begin(), packed.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["eps"] = eps;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "mlp_block: got backward with create_graph, expected first derivatives only.");
    const variable_list saved = ctx->get_saved_variables();
    variable_list result(4 + 2 * kWeights + 1);
    if (!grads[0].defined()) return result;
    at::AutoDispatchBelowADInplaceOrView below;
    const auto weights = saved.begin() + 7, packed = weights + kWeights;
    const Mlp mlp = read(saved[0], saved[1], saved[2], ctx->saved_data["eps"].toDouble(), {weights, packed}, {packed, saved.end()});
    const variable_list g = run_backward(mlp, saved[0], saved[3], {saved[4], saved[5], saved[6]}, grads[0].contiguous());
    for (size_t i = 0; i < 3; i++) result[i] = g[i];
    for (size_t i = 0; i < kWeights; i++) result[4 + i] = g[3 + i];
    return result;
  }
};

Tensor plain(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps, at::TensorList weights, at::TensorList packed,
             const OptionalTensor& scale) {
  const c10::DeviceGuard guard(x.device());
  check_scale("mlp_block", scale, x);
  const Tensor rows = x.contiguous();
  return run_forward(read(rows, norm_weight, norm_bias, eps, weights.vec(), packed.vec()), rows, defined_or_empty(scale), nullptr);
}

Tensor with_autograd(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps, at::TensorList weights,
                     at::TensorList packed, const OptionalTensor& scale) {
  bool needed = any_requires_grad({x, norm_weight, norm_bias});
  for (const Tensor& w : weights) needed = needed || any_requires_grad({w});
  if (!needed) {
    at::AutoDispatchBelowADInplaceOrView below;
    return plain(x, norm_weight, norm_bias, eps, weights, packed, scale);
  }
  check_scale("mlp_block", scale, x);
  return MlpBlock::apply(x.contiguous(), norm_weight, norm_bias, eps, weights, packed, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "mlp_block(Tensor x, Tensor norm_weight, Tensor norm_bias, float eps, Tensor[] weights, Tensor[] packed, "
      "Tensor? scale=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("mlp_block", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) { m.impl("mlp_block", with_autograd); }

}  // namespace mamba_prune::cuda::mlp_block_op
