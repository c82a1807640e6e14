// mamba_prune::mlp_branch on the CPU: x + scale * fc2(gelu(fc1(norm(x)))), float32, with its backward pass written out.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "branch_function.h"
#include "training_parts.h"

namespace mamba_prune::mlp_branch_op {
namespace {

using at::Tensor;
using branch_op::like;
using branch_op::multiply;
using branch_op::rows;
using torch::autograd::variable_list;

constexpr size_t kWeights = 4;

struct Kept {
  Tensor normed, before, hidden;
  variable_list list() const { return {normed, before, hidden}; }
  static Kept of(const variable_list& l) { return {l[0], l[1], l[2]}; }
};

struct Branch {
  using Kept = mlp_branch_op::Kept;
  static constexpr const char* kName = "mlp_branch";
  Tensor norm_weight, norm_bias;
  double eps;
  Tensor fc1, bias1, fc2, bias2;
  int64_t model, hidden;

  static Branch read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                     const variable_list& w) {
    const char* op = kName;
    TORCH_CHECK(w.size() == kWeights, op, ": got ", w.size(), " weights, expected ", kWeights,
                ": fc1, its bias, fc2, its bias.");
    branch_op::check_stream(op, x);
    TORCH_CHECK(w[0].dim() == 2 && w[0].size(0) > 0 && x.size(2) > 0, op, ": got x and fc1 of shapes ", x.sizes(),
                " and ", w[0].sizes(), ", expected d_model and neurons above 0.");
    Branch b{norm_weight, norm_bias, eps, w[0], w[1], w[2], w[3], x.size(2), w[0].size(0)};
    const auto check = [&](const char* name, Tensor& t, at::IntArrayRef shape, const char* layout) {
      check_tensor(op, name, t, shape, layout, x);
      t = t.contiguous();
    };
    check("norm_weight", b.norm_weight, {b.model}, "[d_model]");
    check("norm_bias", b.norm_bias, {b.model}, "[d_model]");
    check("fc1_weight", b.fc1, {b.hidden, b.model}, "[mlp, d_model]");
    check("fc1_bias", b.bias1, {b.hidden}, "[mlp]");
    check("fc2_weight", b.fc2, {b.model, b.hidden}, "[d_model, mlp]");
    check("fc2_bias", b.bias2, {b.model}, "[d_model]");
    return b;
  }

  Tensor forward(const Tensor& x, const Tensor& scale, Kept* keep) const {
    Kept kept;
    {
      const StageTime time("norm");
      kept.normed = branch_op::layer_norm(x, norm_weight, norm_bias, eps);
    }
    {
      const StageTime time("fc1");
      kept.before = like(x, hidden);
      multiply(rows(kept.normed), {fc1, true}, rows(kept.before));
    }
    {
      const StageTime time("gelu");
      kept.hidden = bias_gelu_op::cpu_forward(kept.before, bias1);
    }
    const StageTime time("fc2");
    const Tensor out = branch_op::add_product(x, scale, kept.hidden, fc2, bias2);
    if (keep) *keep = kept;
    return out;
  }

  variable_list backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout,
                         const std::vector<bool>& needed) const {
    variable_list result(3 + kWeights);
    const auto matrix = [&](size_t index, const Tensor& dy, const Tensor& input) {
      if (needed[index]) result[3 + index] = branch_op::weight_gradient(dy, input);
    };
    const Tensor dbranch = scale.defined() ? dout * scale.view({-1, 1, 1}) : dout;
    const Tensor dhidden = like(x, hidden), dnormed = like(x, model);
    {
      const StageTime time("fc2");
      multiply(rows(dbranch), {fc2}, rows(dhidden));
      matrix(2, dbranch, kept.hidden);
    }
    Tensor dbefore;
    {
      const StageTime time("gelu");
      std::tie(dbefore, result[3 + 1]) = bias_gelu_op::cpu_backward(dhidden, kept.before, bias1);
    }
    {
      const StageTime time("fc1");
      multiply(rows(dbefore), {fc1}, rows(dnormed));
      matrix(0, dbefore, kept.normed);
    }
    const StageTime time("norm");
    result[0] = like(x, model);
    const Tensor sums = branch_op::layer_norm_backward(x, norm_weight, eps, dnormed, dout, result[0]);
    result[1] = sums.select(0, 0), result[2] = sums.select(0, 1);
    // Without factors the gradient of the skip connection is the branch's too.
    result[3 + 3] = scale.defined() ? rows(dbranch).sum(0) : sums.select(0, 2);
    return result;
  }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "mlp_branch(Tensor x, Tensor norm_weight, Tensor norm_bias, float eps, Tensor[] weights, Tensor? scale=None) "
      "-> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("mlp_branch", branch_op::branch_plain<Branch>); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("mlp_branch", branch_op::branch_with_autograd<Branch>); }

}  // namespace mamba_prune::mlp_branch_op
