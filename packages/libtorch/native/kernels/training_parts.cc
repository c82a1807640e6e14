// Matrix products, normalisation and skip connections of the operators of a whole branch.
#include "training_parts.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "kernel_table.h"
#include "sgemm.h"

namespace mamba_prune::branch_op {

using at::Tensor;

void multiply(const Factor& a, const Factor& b, const Tensor& out, bool add) {
  if (out.numel() == 0) return;
  const int64_t depth = a.matrix.size(a.t ? 0 : 1);
  // A matrix of one column may have any stride, but products want one that its rows fit into.
  const auto stride = [](const Tensor& m) { return std::max(m.stride(0), m.size(1)); };
  if (depth > 0 && has_fast_sgemm()) {
    sgemm({a.t, b.t, out.size(0), out.size(1), depth, static_cast<const float*>(a.matrix.data_ptr()), stride(a.matrix),
           static_cast<const float*>(b.matrix.data_ptr()), stride(b.matrix), add ? 1.0f : 0.0f,
           static_cast<float*>(out.data_ptr()), stride(out)});
    return;
  }
  const Tensor left = a.t ? a.matrix.t() : a.matrix, right = b.t ? b.matrix.t() : b.matrix;
  Tensor to = out;
  if (add) to.addmm_(left, right);
  else at::mm_out(to, left, right);
}

namespace {

LayerNormArgs args_of(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) {
  LayerNormArgs a{};
  a.columns = x.size(-1), a.rows = x.numel() / a.columns, a.eps = static_cast<float>(eps);
  a.x = data_or_null<float>(x), a.weight = data_or_null<float>(weight), a.out = data_or_null<float>(out);
  return a;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const Tensor out = at::empty(x.sizes(), x.options());
  LayerNormArgs a = args_of(x, weight, eps, out);
  a.bias = data_or_null<float>(bias);
  const auto kernel = isa().layer_norm_forward;
  at::parallel_for(0, a.rows, std::max<int64_t>(1, 16384 / a.columns),
                   [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
  return out;
}

Tensor layer_norm_backward(const Tensor& x, const Tensor& weight, double eps, const Tensor& grad, const Tensor& skip,
                           const Tensor& dx) {
  LayerNormArgs a = args_of(x, weight, eps, dx);
  // From the shapes alone, so that the sums are the same for any number of threads.
  a.rows_per_chunk = std::max<int64_t>({1, 16384 / a.columns, (a.rows + 63) / 64});
  const int64_t chunks = (a.rows + a.rows_per_chunk - 1) / a.rows_per_chunk;
  const Tensor sums = at::empty({chunks, 3, a.columns}, x.options());
  a.grad_y = data_or_null<float>(grad), a.residual = data_or_null<float>(skip), a.sums = data_or_null<float>(sums);
  const auto kernel = isa().layer_norm_backward;
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
  return sums.sum(0);
}

void scale_and_add(const Tensor& out, const Tensor& scale, const Tensor& x) {
  out.mul_(scale.view({-1, 1, 1})).add_(x);
}

}  // namespace mamba_prune::branch_op
