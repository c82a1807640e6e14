// The kernels of native/cuda/kernels on tensors. Rows are all dimensions but the last, at one distance; tensors of
// parameters are float32 and contiguous. Nothing is checked here that the operators check.
#pragma once
#include <ATen/ATen.h>

#include "gemm.h"

namespace mamba_prune::cuda {

/** What SCALAR is in the kernels. */
int64_t scalar_code(at::ScalarType type);

struct Scan {
  at::Tensor u, delta, z, B, C;  // [batch, length, channels or more], [batch, length, states]; z may be undefined
  at::Tensor A, D, bias;         // [channels, states], [channels]; D and bias may be undefined
  at::Tensor initial;            // float32 [batch, channels, states] or undefined
  at::Tensor scale;              // float32 [batch] or undefined: factor of the result
  bool softplus = false, a_is_log = false, reverse = false;
  int64_t channels = 0;
  int64_t height = 0;  // rows of a grid that is scanned column by column, though it lies row by row; 0: it is not
};
/**
 * States that the forward pass leaves for the backward pass: [batch, segments - 1, channels, states in whole fours],
 * float32 where the elements are, bfloat16 otherwise.
 */
at::Tensor scan_checkpoints(const Scan& s);
/**
 * @param y written, or added to; columns from `channels` on become 0
 * @param last float32 [batch, channels, states] or undefined
 * @param checkpoints undefined when no backward pass follows
 */
void scan_forward(const Scan& s, const at::Tensor& y, bool add, const at::Tensor& last, const at::Tensor& checkpoints);

struct ScanGradients {
  at::Tensor du, ddelta, dz;  // as u, delta, z; dz undefined without z
  bool add_du = false;        // whether du is added to
  at::Tensor states;          // partial sums [blocks, batch, length, 2 padded]: dB, dC
  int64_t padded = 0;
  at::Tensor dA, dD, dbias, dinitial;
};
/** @param out du, ddelta and dz are given by the caller; dz may be added to */
void scan_backward(const Scan& s, const at::Tensor& dy, const at::Tensor& dlast, const at::Tensor& checkpoints,
                   bool add_dz, bool want_dinitial, ScanGradients& out);
/** dB and dC into columns [offset, offset + 2 states) of the rows of out; columns after them become 0. */
void reduce_states(const ScanGradients& g, int64_t states, const at::Tensor& out, int64_t offset);

struct Conv {
  at::Tensor x;             // [batch, length, channels or more]
  at::Tensor weight, bias;  // [channels, taps], [channels] or undefined
  bool silu = true, reverse = false;
};
void conv_forward(const Conv& c, const at::Tensor& y);
/** Both directions of one x, in one launch: `back` is reversed, and as `c` in all but its weights; so is its result. */
void conv_forward_both(const Conv& c, const Conv& back, const at::Tensor& y, const at::Tensor& back_y);
/** The projections' gradient [batch, length, columns] and weight [columns, width], both contiguous. */
struct Through {
  at::Tensor gradient, weight;
};
/** Whether `conv_backward` can add to dy what reaches y through projections to so many columns. */
bool conv_backward_adds(const Conv& c, const at::Tensor& dy, const at::Tensor& dx, int64_t columns);
/**
 * @param through what reaches y beside dy, or undefined; see `conv_backward_adds`
 * @return the gradients of weight [channels, taps] and bias [channels]
 */
std::pair<at::Tensor, at::Tensor> conv_backward(const Conv& c, const at::Tensor& dy, const at::Tensor& dx, bool add,
                                                const Through& through = {});

void norm_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps,
                  const at::Tensor& y);
/**
 * dx = the layer's gradient + dskip.
 * @return float32 [2 or 3, width]: gradients of weight and bias, and the sum of dskip over rows where it is given
 */
at::Tensor norm_backward(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& dy,
                         const at::Tensor& dskip, const at::Tensor& dx);

/** Root mean square normalisation. @param x float32; y, and dy below, may have another type */
void rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& y);
/**
 * dx = the layer's gradient + dskip, both float32; dskip may be undefined.
 * @return float32 [width]: gradient of weight
 */
at::Tensor rms_norm_backward(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& dy,
                             const at::Tensor& dskip, const at::Tensor& dx);

/**
 * gradient becomes gradient * gelu'(before), tanh form; both contiguous.
 * @return its sum over rows, float32
 */
at::Tensor gelu_backward_(const at::Tensor& gradient, const at::Tensor& before);

/** Sum over the first dimension of a contiguous float32 tensor. */
at::Tensor reduce_rows(const at::Tensor& partial);

}  // namespace mamba_prune::cuda
