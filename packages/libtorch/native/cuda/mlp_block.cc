// mamba_prune::mlp_block on CUDA: x + scale * fc2(gelu(fc1(norm(x)))), with its backward pass written out. In 16 bits
// bias, GELU (in its tanh form, which differs from the exact one by less than the type's rounding) and residual are
// part of the products; in float32 the exact GELU is computed between them.
#include <torch/library.h>

#include "gradient_batch.h"
#include "launch.h"
#include "mlp_block.h"

namespace mamba_prune::cuda::mlp_block_op {

Mlp Mlp::read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
              const variable_list& weights, const variable_list& packed) {
  const char* op = kName;
  TORCH_CHECK(weights.size() == kWeights && (packed.size() == kWeights || packed.size() == kWeights + 1), op, ": got ",
              weights.size(), " weights and ", packed.size(),
              " packed weights, expected 4 of each: fc1, its bias, fc2, its bias; or the units of the packed ones "
              "behind them.");
  check_rows(op, x);
  Mlp m;
  m.norm_weight = norm_weight, m.norm_bias = norm_bias, m.eps = eps;
  m.master_bias1 = weights[1], m.master_bias2 = weights[3];
  if (packed.size() > kWeights) m.units = packed[kWeights];
  m.fc1 = packed[0], m.bias1 = packed[1], m.fc2 = packed[2], m.bias2 = packed[3];
  TORCH_CHECK(weights[0].dim() == 2 && m.fc1.dim() == 2, op, ": got fc1 of shape ", weights[0].sizes(),
              ", expected [neurons, d_model].");
  m.model = x.size(2), m.neurons = weights[0].size(0), m.width = m.fc1.size(0);
  TORCH_CHECK(m.neurons > 0 && m.width >= m.neurons, op, ": got ", m.neurons, " neurons padded to ", m.width, ".");
  check_shape(op, "norm weight", norm_weight, {m.model}, at::kFloat, x),
      check_shape(op, "norm bias", norm_bias, {m.model}, at::kFloat, x);
  check_shape(op, "fc1 weight", weights[0], {m.neurons, m.model}, at::kFloat, x),
      check_shape(op, "fc1 bias", weights[1], {m.neurons}, at::kFloat, x);
  check_shape(op, "fc2 weight", weights[2], {m.model, m.neurons}, at::kFloat, x),
      check_shape(op, "fc2 bias", weights[3], {m.model}, at::kFloat, x);
  const auto type = x.scalar_type();
  check_shape(op, "packed fc1 weight", m.fc1, {m.width, m.model}, type, x),
      check_shape(op, "packed fc1 bias", m.bias1, {m.width}, type, x);
  check_shape(op, "packed fc2 weight", m.fc2, {m.model, m.width}, type, x),
      check_shape(op, "packed fc2 bias", m.bias2, {m.model}, type, x);
  m.norm_weight = aligned(norm_weight), m.norm_bias = aligned(norm_bias), m.master_bias2 = aligned(weights[3]);
  return m;
}

Tensor Mlp::forward(const Tensor& x, const Tensor& scale, Kept* keep) const {
  const auto type = x.scalar_type();
  const auto like = [&](int64_t columns) { return at::empty({x.size(0), x.size(1), columns}, x.options()); };
  Kept kept;
  if (keep && mlp_train_runs(model, width, type)) {
    kept.units = units.defined() ? units : mlp_train_units(fused(scale));
    const Tensor out = like(model);
    mlp_train_forward(fused(scale), kept.units, x, out);
    *keep = kept;
    return out;
  }
  kept.n = like(model);
  norm_forward(x, norm_weight, norm_bias, eps, kept.n);
  Extra first;
  first.bias = bias1.data_ptr();
  if (type == at::kFloat) {
    kept.before = like(width);
    first.epilogue = Epilogue::bias;
    gemm(mat(kept.n), false, mat(fc1), true, mat(kept.before), type, type, first);
    kept.hidden = at::gelu(kept.before);
  } else {
    kept.hidden = like(width);
    first.epilogue = Epilogue::gelu_bias;
    if (keep) {
      kept.before = like(width);
      first.epilogue = Epilogue::gelu_aux_bias, first.aux = kept.before.data_ptr(), first.aux_stride = width;
    }
    gemm(mat(kept.n), false, mat(fc1), true, mat(kept.hidden), type, type, first);
  }
  const Tensor out = like(model);
  const Mat residual = mat(x);
  Extra second;
  second.epilogue = Epilogue::bias, second.bias = bias2.data_ptr();
  if (!scale.defined()) second.add = &residual;
  gemm(mat(kept.hidden), false, mat(fc2), true, mat(out), type, type, second);
  if (scale.defined()) out.mul_(scale.view({-1, 1, 1})).add_(x);
  if (keep) *keep = kept;
  return out;
}

namespace {
// The residual's gradient is the branch's too, so that the normalisation has already summed it.
Tensor bias2_gradient(const Tensor& scale, const MlpTrainGradients& g, const Tensor& dout) {
  if (!scale.defined()) return g.norm.select(0, 2);
  return at::sum(dout * scale.view({-1, 1, 1}).to(dout.scalar_type()), at::IntArrayRef({0, 1}), false, at::kFloat);
}
}  // namespace

// Gradients of x, norm weight, norm bias, then of the four weights.
variable_list Mlp::backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) const {
  const auto type = x.scalar_type();
  const auto like = [&](int64_t columns) { return at::empty({x.size(0), x.size(1), columns}, x.options()); };
  const auto gradient = [&](at::IntArrayRef shape) { return at::empty(shape, x.options().dtype(at::kFloat)); };
  if (kept.units.defined() && GradientBatch::fits(width, type)) {
    GradientBatch batch;
    const MlpTrainGradients g = mlp_train_backward(fused(scale), kept.units, x, dout);
    const Tensor d_fc1 = batch.product(g.dbefore, g.normed, first_of(neurons), first_of(model)),
                 d_fc2 = batch.product(g.hidden, dout, first_of(neurons), first_of(model), true);
    batch.run();
    return {g.dx,  g.norm.select(0, 0),           g.norm.select(0, 1), d_fc1, g.dbias1.narrow(0, 0, neurons),
            d_fc2, bias2_gradient(scale, g, dout)};
  }
  if (kept.units.defined()) {
    Aside beside;
    const MlpTrainGradients g = mlp_train_backward(fused(scale), kept.units, x, dout);
    Tensor d_fc1 = gradient({width, model}), d_fc2 = gradient({model, width});
    aside([&] { gemm(mat(dout), true, mat(g.hidden), false, mat(d_fc2), type, at::kFloat); });
    gemm(mat(g.dbefore), true, mat(g.normed), false, mat(d_fc1), type, at::kFloat);
    beside.join();
    if (width != neurons) d_fc2 = d_fc2.narrow(1, 0, neurons).contiguous();
    return {g.dx,
            g.norm.select(0, 0),
            g.norm.select(0, 1),
            d_fc1.narrow(0, 0, neurons),
            g.dbias1.narrow(0, 0, neurons),
            d_fc2,
            bias2_gradient(scale, g, dout)};
  }
  const Tensor dbranch = scale.defined() ? dout * scale.view({-1, 1, 1}).to(type) : dout;
  Tensor d_fc2 = gradient({model, width});
  gemm(mat(dbranch), true, mat(kept.hidden), false, mat(d_fc2), type, at::kFloat);
  Tensor dbefore = like(width);
  gemm(mat(dbranch), false, mat(fc2), false, mat(dbefore), type, type);
  Tensor d_bias1;
  if (type == at::kFloat) {
    dbefore = at::gelu_backward(dbefore, kept.before);
    d_bias1 = at::sum(dbefore, at::IntArrayRef({0, 1}), false, at::kFloat);
  } else {
    d_bias1 = gelu_backward_(dbefore, kept.before);
  }
  Tensor d_fc1 = gradient({width, model});
  gemm(mat(dbefore), true, mat(kept.n), false, mat(d_fc1), type, at::kFloat);
  const Tensor dn = like(model), dx = like(model);
  gemm(mat(dbefore), false, mat(fc1), false, mat(dn), type, type);
  const Tensor d_norm = norm_backward(x, norm_weight, eps, dn, dout, dx);
  // The residual's gradient is the branch's too, so that the normalisation has already summed it.
  const Tensor d_bias2 =
      scale.defined() ? at::sum(dbranch, at::IntArrayRef({0, 1}), false, at::kFloat) : d_norm.select(0, 2);
  if (width != neurons) {
    d_fc1 = d_fc1.narrow(0, 0, neurons), d_bias1 = d_bias1.narrow(0, 0, neurons);
    d_fc2 = d_fc2.narrow(1, 0, neurons).contiguous();
  }
  return {dx, d_norm.select(0, 0), d_norm.select(0, 1), d_fc1, d_bias1, d_fc2, d_bias2};
}

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "mlp_block(Tensor x, Tensor norm_weight, Tensor? norm_bias, float eps, Tensor[] weights, Tensor[] packed, "
      "Tensor? scale=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("mlp_block", branch_plain<Mlp>); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) { m.impl("mlp_block", branch_with_autograd<Mlp>); }

}  // namespace mamba_prune::cuda::mlp_block_op
