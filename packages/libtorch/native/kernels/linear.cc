// mamba_prune::linear: x W^T + bias + residual. Bias and residual are written into the result before
// the product adds to it, so neither costs a pass of its own; views with a row stride (a slice of a
// wider projection) are read in place.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <vector>

#include "op_util.h"
#include "sgemm.h"
#include "training_parts.h"

namespace mamba_prune::linear_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Matrix {
  Tensor owner;  // keeps the memory alive
  int64_t rows, columns, stride;
  float* data() const { return static_cast<float*>(owner.data_ptr()); }
};

// [..., columns] as a matrix of one row stride; copied where the strides do not allow it.
Matrix matrix_of(const Tensor& t) {
  const int64_t columns = t.size(-1), rows = columns ? t.numel() / columns : 0;
  bool regular = t.dim() >= 2 && (columns == 1 || t.stride(-1) == 1) && t.stride(-2) >= columns;
  for (int64_t d = 0; regular && d + 2 < t.dim(); d++)
    regular = t.size(d) == 1 || t.stride(d) == t.stride(d + 1) * t.size(d + 1);
  if (regular) return {t, rows, columns, t.stride(-2)};
  return {t.contiguous(), rows, columns, columns};
}

bool is_fast(const Tensor& t) {
  return !t.defined() || (t.device().is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided);
}

// Whether oneDNN can take it. Wrong shapes are left to libtorch's operators, which explain them.
bool can_use_sgemm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual) {
  if (!has_fast_sgemm() || !is_fast(x) || !is_fast(weight) || !is_fast(bias) || !is_fast(residual)) return false;
  if (x.dim() < 2 || weight.dim() != 2 || x.size(-1) != weight.size(1) || x.numel() == 0 || weight.numel() == 0)
    return false;
  return !bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0));
}

}  // namespace

// Each row of `out` becomes residual (if any) plus bias (if any).
void prefill(const Tensor& out, const Tensor& bias, const Tensor& residual) {
  const int64_t columns = out.size(-1), rows = out.numel() / columns;
  float* to = static_cast<float*>(out.data_ptr());
  const float* from = data_or_null<float>(residual);
  const float* add = data_or_null<float>(bias);
  at::parallel_for(0, rows, std::max<int64_t>(1, 32768 / columns), [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      float* __restrict y = to + row * columns;
      const float* __restrict r = from ? from + row * columns : nullptr;
      if (r && add) {
#pragma omp simd
        for (int64_t i = 0; i < columns; i++) y[i] = r[i] + add[i];
      } else {
        std::copy_n(r ? r : add, columns, y);
      }
    }
  });
}

namespace {

// A residual that is merely expanded to the result's shape would be a mistake of the caller: never done by either way.
void check_residual(const Tensor& residual, at::IntArrayRef shape) {
  TORCH_CHECK(!residual.defined() || residual.sizes() == shape, "linear: got residual of shape ",
              residual.defined() ? residual.sizes() : at::IntArrayRef(), ", expected the result's, ", shape, ".");
}

Tensor fast_forward(const Tensor& x, const Tensor& weight_, const Tensor& bias, const Tensor& residual) {
  const Matrix rows = matrix_of(x), weight = matrix_of(weight_);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = weight.rows;
  check_residual(residual, shape);
  Tensor out = at::empty(shape, x.options());
  const bool start = bias.defined() || residual.defined();
  if (start)
    prefill(out, bias.defined() ? bias.contiguous() : bias, residual.defined() ? residual.contiguous() : residual);
  sgemm({false, true, rows.rows, weight.rows, rows.columns, rows.data(), rows.stride, weight.data(), weight.stride,
         start ? 1.0f : 0.0f, static_cast<float*>(out.data_ptr()), weight.rows});
  return out;
}

// libtorch's own operators: other types, other devices, and second derivatives.
Tensor general(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual) {
  const Tensor y = at::linear(x, weight, optional(bias));
  check_residual(residual, y.sizes());
  return residual.defined() ? residual + y : y;
}

// Sum over all rows.
Tensor column_sums(const Tensor& t) { return t.reshape({-1, t.size(-1)}).sum(0); }

class Linear : public torch::autograd::Function<Linear> {
 public:
  // Absent tensors must stay optional here: PyTorch 1.13 asks undefined ones for their device.
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const OptionalTensor& bias_,
                        const OptionalTensor& residual_) {
    at::AutoDispatchBelowADInplaceOrView below;
    const Tensor bias = defined_or_empty(bias_), residual = defined_or_empty(residual_);
    ctx->save_for_backward({x, weight});
    const auto needed = [](const Tensor& t) -> int64_t { return t.defined() && t.requires_grad(); };
    ctx->saved_data["needs"] = std::vector<int64_t>{needed(x), needed(weight), needed(bias), needed(residual)};
    return fast_forward(x, weight, bias, residual);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto needs = ctx->saved_data["needs"].toIntVector();
    const Tensor& dy = grads[0];
    variable_list result(4);
    if (!dy.defined()) return result;
    if (needs[2]) result[2] = column_sums(dy);
    if (needs[3]) result[3] = dy;
    const Tensor &x = saved[0], &weight = saved[1];
    if (at::GradMode::is_enabled() || !is_fast(dy)) {
      if (needs[0]) result[0] = at::matmul(dy, weight);
      if (needs[1]) result[1] = at::mm(dy.reshape({-1, dy.size(-1)}).t(), x.reshape({-1, x.size(-1)}));
      return result;
    }
    at::AutoDispatchBelowADInplaceOrView below;
    const Matrix g = matrix_of(dy), w = matrix_of(weight);
    if (needs[0]) {
      result[0] = at::empty(x.sizes(), x.options());
      sgemm({false, false, g.rows, w.columns, g.columns, g.data(), g.stride, w.data(), w.stride, 0.0f,
             static_cast<float*>(result[0].data_ptr()), w.columns});
    }
    if (needs[1]) {
      const Matrix rows = matrix_of(x);
      result[1] = at::empty(weight.sizes(), weight.options());
      sgemm({true, false, g.columns, rows.columns, g.rows, g.data(), g.stride, rows.data(), rows.stride, 0.0f,
             static_cast<float*>(result[1].data_ptr()), rows.columns});
    }
    return result;
  }
};

Tensor plain(const Tensor& x, const Tensor& weight, const OptionalTensor& bias_, const OptionalTensor& residual_) {
  const Tensor bias = defined_or_empty(bias_), residual = defined_or_empty(residual_);
  return (can_use_sgemm(x, weight, bias, residual) ? fast_forward : general)(x, weight, bias, residual);
}

Tensor with_autograd(const Tensor& x, const Tensor& weight, const OptionalTensor& bias_,
                     const OptionalTensor& residual_) {
  const Tensor bias = defined_or_empty(bias_), residual = defined_or_empty(residual_);
  if (!can_use_sgemm(x, weight, bias, residual)) return general(x, weight, bias, residual);
  if (any_requires_grad({x, weight, bias, residual}))
    return Linear::apply(x, weight, optional(bias), optional(residual));
  at::AutoDispatchBelowADInplaceOrView below;
  return fast_forward(x, weight, bias, residual);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("linear(Tensor x, Tensor weight, Tensor? bias=None, Tensor? residual=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("linear", plain); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("linear", with_autograd); }

}  // namespace mamba_prune::linear_op
