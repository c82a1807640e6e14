// mamba_prune::ssm_branch on the CPU: x + scale * out_proj(ssm(norm(x))) with one direction of the scan, float32, with
// its backward pass written out. As single operators the two halves of in_proj's result and the three parts of
// x_proj's get gradients each in memory of its own, filled up with zeros and added; here they are written in place.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "branch_function.h"
#include "conv_args.h"
#include "training_parts.h"

namespace mamba_prune::ssm_branch_op {
namespace {

using at::Tensor;
using branch_op::like;
using branch_op::multiply;
using branch_op::rows;
using torch::autograd::variable_list;

constexpr size_t kWeights = 9;

struct Kept {
  Tensor normed, xz, u, projected, delta, y, checkpoints;
  variable_list list() const { return {normed, xz, u, projected, delta, y, checkpoints}; }
  static Kept of(const variable_list& l) { return {l[0], l[1], l[2], l[3], l[4], l[5], l[6]}; }
};

struct Branch {
  using Kept = ssm_branch_op::Kept;
  static constexpr const char* kName = "ssm_branch";
  Tensor norm_weight, norm_bias;
  double eps;
  Tensor in_proj, out_proj, conv_weight, conv_bias, x_proj, dt_weight, dt_bias, A_log, D;
  int64_t model, inner, rank, states;

  static Branch read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                     const variable_list& w) {
    const char* op = kName;
    TORCH_CHECK(w.size() == kWeights, op, ": got ", w.size(), " weights, expected ", kWeights,
                ": in_proj, out_proj, conv1d's weight and bias, x_proj, dt_proj's weight and bias, A_log and D.");
    branch_op::check_stream(op, x);
    TORCH_CHECK(x.size(1) > 0 && x.size(2) > 0, op, ": got x of shape ", x.sizes(),
                ", expected length and d_model above 0.");
    TORCH_CHECK(w[1].dim() == 2 && w[2].dim() == 3 && w[5].dim() == 2 && w[7].dim() == 2, op,
                ": got out_proj, conv1d, dt_proj and A_log of shapes ", w[1].sizes(), ", ", w[2].sizes(), ", ",
                w[5].sizes(), " and ", w[7].sizes(), ", expected 2, 3, 2 and 2 dimensions.");
    Branch b{norm_weight, norm_bias, eps,  w[0], w[1],      w[2],         w[3],         w[4],
             w[5],        w[6],      w[7], w[8], x.size(2), w[1].size(1), w[5].size(1), w[7].size(1)};
    const int64_t taps = b.conv_weight.size(2);
    TORCH_CHECK(b.inner > 0 && b.rank > 0 && b.states > 0 && taps > 0 && taps <= kConvMaxTaps, op, ": got d_inner ",
                b.inner, ", dt_rank ", b.rank, ", d_state ", b.states, ", d_conv ", taps,
                ", expected positive sizes and at most ", kConvMaxTaps, " taps.");
    const auto check = [&](const char* name, Tensor& t, at::IntArrayRef shape, const char* layout) {
      check_tensor(op, name, t, shape, layout, x);
      t = t.contiguous();
    };
    check("norm_weight", b.norm_weight, {b.model}, "[d_model]");
    check("norm_bias", b.norm_bias, {b.model}, "[d_model]");
    check("in_proj", b.in_proj, {2 * b.inner, b.model}, "[2 d_inner, d_model]");
    check("out_proj", b.out_proj, {b.model, b.inner}, "[d_model, d_inner]");
    check("conv_weight", b.conv_weight, {b.inner, 1, taps}, "[d_inner, 1, d_conv]");
    check("conv_bias", b.conv_bias, {b.inner}, "[d_inner]");
    check("x_proj", b.x_proj, {b.rank + 2 * b.states, b.inner}, "[dt_rank + 2 d_state, d_inner]");
    check("dt_weight", b.dt_weight, {b.inner, b.rank}, "[d_inner, dt_rank]");
    check("dt_bias", b.dt_bias, {b.inner}, "[d_inner]");
    check("A_log", b.A_log, {b.inner, b.states}, "[d_inner, d_state]");
    check("D", b.D, {b.inner}, "[d_inner]");
    return b;
  }

  Tensor step_sizes(const Tensor& projected) const { return projected.narrow(2, 0, rank); }
  Tensor input_matrix(const Tensor& projected) const { return projected.narrow(2, rank, states); }
  Tensor output_matrix(const Tensor& projected) const { return projected.narrow(2, rank + states, states); }

  Tensor forward(const Tensor& x, const Tensor& scale, Kept* keep) const {
    Kept kept;
    {
      const StageTime time("norm");
      kept.normed = branch_op::layer_norm(x, norm_weight, norm_bias, eps);
    }
    {
      const StageTime time("in_proj");
      kept.xz = like(x, 2 * inner);
      multiply(rows(kept.normed), {in_proj, true}, rows(kept.xz));
    }
    {
      const StageTime time("conv");
      kept.u = causal_conv1d_cpu_op::forward(kept.xz.narrow(2, 0, inner), conv_weight, conv_bias, true);
    }
    {
      const StageTime time("x_proj");
      kept.projected = like(x, rank + 2 * states);
      multiply(rows(kept.u), {x_proj, true}, rows(kept.projected));
    }
    {
      const StageTime time("dt_proj");
      kept.delta = like(x, inner);
      multiply(rows(step_sizes(kept.projected)), {dt_weight, true}, rows(kept.delta));
    }
    {
      const StageTime time("scan");
      Tensor last;
      std::tie(kept.y, last, kept.checkpoints) = selective_scan_cpu_op::forward(
          kept.u, kept.delta, A_log.exp().neg(), input_matrix(kept.projected), output_matrix(kept.projected), D,
          kept.xz.narrow(2, inner, inner), dt_bias, true, {}, keep != nullptr);
    }
    const StageTime time("out_proj");
    const Tensor out = branch_op::add_product(x, scale, kept.y, out_proj);
    if (keep) *keep = kept;
    return out;
  }

  variable_list backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout,
                         const std::vector<bool>& needed) const {
    variable_list result(3 + kWeights);
    // The gradient of a matrix with these two factors, if it is asked for.
    const auto matrix = [&](size_t index, const Tensor& dy, const Tensor& input) {
      if (needed[index]) result[3 + index] = branch_op::weight_gradient(dy, input);
    };
    const Tensor dy = like(x, inner), dxz = like(x, 2 * inner), dprojected = like(x, rank + 2 * states);
    {
      const StageTime time("out_proj");
      const Tensor dbranch = scale.defined() ? dout * scale.view({-1, 1, 1}) : dout;
      multiply(rows(dbranch), {out_proj}, rows(dy));
      matrix(1, dbranch, kept.y);
    }
    Tensor du, ddelta;
    {
      const StageTime time("scan");
      const Tensor A = A_log.exp().neg();
      auto [du_, ddelta_, dA, dB, dC, dD, dz, dbias, dinitial] = selective_scan_cpu_op::backward(
          dy, {}, kept.u, kept.delta, A, input_matrix(kept.projected), output_matrix(kept.projected), D,
          kept.xz.narrow(2, inner, inner), dt_bias, true, {}, optional(kept.checkpoints), dxz.narrow(2, inner, inner));
      du = du_, ddelta = ddelta_;
      input_matrix(dprojected).copy_(dB), output_matrix(dprojected).copy_(dC);
      // A = -exp(A_log) is its own derivative.
      result[3 + 7] = dA.mul_(A), result[3 + 8] = dD, result[3 + 6] = dbias;
    }
    {
      const StageTime time("dt_proj");
      multiply(rows(ddelta), {dt_weight}, rows(step_sizes(dprojected)));
      matrix(5, ddelta, step_sizes(kept.projected));
    }
    {
      const StageTime time("x_proj");
      const Tensor sum = rows(du);
      multiply(rows(dprojected), {x_proj}, sum, {}, sum);
      matrix(4, dprojected, kept.u);
    }
    {
      const StageTime time("conv");
      const Tensor dx = dxz.narrow(2, 0, inner);
      auto [same, dweight, dbias] =
          causal_conv1d_cpu_op::backward(du, kept.xz.narrow(2, 0, inner), conv_weight, conv_bias, true, dx);
      result[3 + 2] = dweight, result[3 + 3] = dbias;
    }
    const Tensor dnormed = like(x, model);
    {
      const StageTime time("in_proj");
      multiply(rows(dxz), {in_proj}, rows(dnormed));
      matrix(0, dxz, kept.normed);
    }
    const StageTime time("norm");
    result[0] = like(x, model);
    const Tensor sums = branch_op::layer_norm_backward(x, norm_weight, eps, dnormed, dout, result[0]);
    result[1] = sums.select(0, 0), result[2] = sums.select(0, 1);
    return result;
  }
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "ssm_branch(Tensor x, Tensor norm_weight, Tensor norm_bias, float eps, Tensor[] weights, Tensor? scale=None) "
      "-> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("ssm_branch", branch_op::branch_plain<Branch>); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("ssm_branch", branch_op::branch_with_autograd<Branch>); }

}  // namespace mamba_prune::ssm_branch_op
