// What the scans of an SSM branch read, made of x by one kernel for all directions: at inference, in 16 bits.
#pragma once
#include <ATen/ATen.h>

#include <vector>

namespace mamba_prune::cuda {

/** A scan direction. The second of two runs backwards. */
struct ScanInputs {
  at::Tensor conv_weight, conv_bias;  // float32 [channels, 1, taps], [channels]
  at::Tensor x_proj, dt_proj;         // [columns, width], [width, rank], padded: in the type of x
  at::Tensor u, projected, delta;     // results: contiguous [batch, length, width], of columns, of width
};

/** Whether the kernel takes them; every other shape and type goes kernel by kernel. */
bool scan_inputs_run(const at::Tensor& x, const std::vector<ScanInputs>& directions);

/** @param x [batch, length, width] with rows at one distance; columns from `channels` on are padding */
void scan_inputs(const at::Tensor& x, int64_t channels, const std::vector<ScanInputs>& directions);

}  // namespace mamba_prune::cuda
