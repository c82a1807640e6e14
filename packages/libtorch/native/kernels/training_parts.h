// What the operators of a whole branch (ssm_branch.cc, mlp_branch.cc) are made of: the same functions that the single
// operators register, called without the dispatcher and, where a branch has a place for it, with the result's memory.
#pragma once
#include <ATen/ATen.h>

#include <tuple>

#include "op_util.h"

namespace mamba_prune {

using ScanGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor,
                                 at::Tensor, at::Tensor>;

namespace selective_scan_cpu_op {
std::tuple<at::Tensor, at::Tensor, at::Tensor> forward(const at::Tensor& u, const at::Tensor& delta,
                                                       const at::Tensor& A, const at::Tensor& B, const at::Tensor& C,
                                                       const OptionalTensor& D, const OptionalTensor& z,
                                                       const OptionalTensor& delta_bias, bool softplus,
                                                       const OptionalTensor& initial_state, bool save);
ScanGradients backward(const OptionalTensor& grad_y, const OptionalTensor& grad_last, const at::Tensor& u,
                       const at::Tensor& delta, const at::Tensor& A, const at::Tensor& B, const at::Tensor& C,
                       const OptionalTensor& D, const OptionalTensor& z, const OptionalTensor& delta_bias,
                       bool softplus, const OptionalTensor& initial_state, const OptionalTensor& saved, at::Tensor dz);
}  // namespace selective_scan_cpu_op

namespace causal_conv1d_cpu_op {
at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const OptionalTensor& bias, bool silu);
std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& grad_y, const at::Tensor& x,
                                                        const at::Tensor& weight, const OptionalTensor& bias, bool silu,
                                                        at::Tensor dx);
}  // namespace causal_conv1d_cpu_op

namespace bias_gelu_op {
at::Tensor cpu_forward(const at::Tensor& x, const at::Tensor& bias);
std::tuple<at::Tensor, at::Tensor> cpu_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& bias);
}  // namespace bias_gelu_op

namespace linear_op {
// Each row of `out` becomes residual (if any) plus bias (if any); at least one is there.
void prefill(const at::Tensor& out, const at::Tensor& bias, const at::Tensor& residual);
}  // namespace linear_op

namespace branch_op {

// A matrix in float32 with dense rows; `t` reads it as its transpose.
struct Factor {
  at::Tensor matrix;
  bool t = false;
};
// out = x op(weight) + bias + residual, of which the last two may be undefined. `residual` is like `out`, and may be
// it.
void multiply(const at::Tensor& x, const Factor& weight, const at::Tensor& out, const at::Tensor& bias = {},
              const at::Tensor& residual = {});
// [batch, length, columns] as a matrix of all its rows.
inline at::Tensor rows(const at::Tensor& t) { return t.view({-1, t.size(-1)}); }
// Memory for as many rows of so many columns.
inline at::Tensor like(const at::Tensor& x, int64_t columns) {
  return at::empty({x.size(0), x.size(1), columns}, x.options());
}

// dy^T input, a sum over all rows: the gradient of the weight of a product of `input`.
at::Tensor weight_gradient(const at::Tensor& dy, const at::Tensor& input);
// x + scale (input weight^T + bias), of which bias and scale, a factor for each sample, may be undefined.
at::Tensor add_product(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& input, const at::Tensor& weight,
                       const at::Tensor& bias = {});

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);
// dx = skip + the gradient of x through the normalisation. -> [3, columns]: the gradients of weight and bias, and the
// sum of `skip` over all rows.
at::Tensor layer_norm_backward(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& grad,
                               const at::Tensor& skip, const at::Tensor& dx);

/** @throws if x is not float32 [batch, length, d_model] on the CPU */
void check_stream(const char* op, const at::Tensor& x);

}  // namespace branch_op
}  // namespace mamba_prune
