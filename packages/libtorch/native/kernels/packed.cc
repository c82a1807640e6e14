// mamba_prune::pack_weights: matrices [count, columns, depth] as [count, panels, depth, panel];
// mamba_prune::unpack_matrix: a single one of them back, bit for bit;
// mamba_prune::weights_version.
#include "packed.h"

#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

namespace mamba_prune {

const float* packed_weights(const char* op, const char* name, const at::Tensor& t, int64_t count, int64_t columns,
                            int64_t depth) {
  refuse_gradient(op, t);
  const int64_t panel = isa().panel, panels = (columns + panel - 1) / panel;
  TORCH_CHECK(t.is_cpu() && t.scalar_type() == at::kFloat && t.layout() == at::kStrided && t.is_contiguous() &&
                  t.dim() == 4 && t.sizes() == at::IntArrayRef({count, panels, depth, panel}),
              op, ": got ", name, " of shape ", t.sizes(), " (", t.scalar_type(),
              "), expected what pack_weights makes of [", count, ", ", columns, ", ", depth, "]: float32 of shape [",
              count, ", ", panels, ", ", depth, ", ", panel, "].");
  return static_cast<const float*>(t.data_ptr());
}

void refuse_gradient(const char* op, const at::Tensor& t) {
  TORCH_CHECK(
      !any_requires_grad({t}), op,
      ": got tensors that require gradients, expected none: it is for inference. Call it without gradients, or use the "
      "single operators.");
}

namespace packed_op {
namespace {

using at::Tensor;

Tensor pack(const Tensor& weight_) {
  TORCH_CHECK(
      weight_.dim() == 3 && weight_.is_cpu() && weight_.scalar_type() == at::kFloat && weight_.layout() == at::kStrided,
      "pack_weights: got ", weight_.dim(), " dimensions of ", weight_.scalar_type(), " on ", weight_.device(),
      ", expected float32 of shape [count, columns, depth] on the CPU.");
  refuse_gradient("pack_weights", weight_);
  const Tensor weight = weight_.detach().contiguous();
  const int64_t count = weight.size(0), columns = weight.size(1), depth = weight.size(2), panel = isa().panel;
  const int64_t panels = (columns + panel - 1) / panel;
  const Tensor packed = at::empty({count, panels, depth, panel}, weight.options());
  if (packed.numel() == 0) return packed;
  const float* from = static_cast<const float*>(weight.data_ptr());
  float* to = static_cast<float*>(packed.data_ptr());
  at::parallel_for(0, count * panels, 1, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % panels * panel, valid = std::min(panel, columns - first);
      const float* rows = from + (task / panels * columns + first) * depth;
      float* out = to + task * depth * panel;
      for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < panel; j++) out[k * panel + j] = j < valid ? rows[j * depth + k] : 0.0f;
    }
  });
  return packed;
}

Tensor unpack(const Tensor& packed, int64_t columns) {
  const int64_t panel = isa().panel, panels = (columns + panel - 1) / panel;
  TORCH_CHECK(packed.dim() == 4 && columns >= 0, "unpack_matrix: got ", packed.dim(), " dimensions and ", columns,
              " columns, expected what pack_weights makes of one matrix, [1, panels, depth, panel].");
  const int64_t depth = packed.size(2);
  const float* from = packed_weights("unpack_matrix", "packed", packed, 1, columns, depth);
  const Tensor weight = at::empty({columns, depth}, packed.options());
  if (weight.numel() == 0) return weight;
  float* to = static_cast<float*>(weight.data_ptr());
  at::parallel_for(0, panels, 1, [=](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; index++) {
      const int64_t first = index * panel, valid = std::min(panel, columns - first);
      const float* in = from + index * depth * panel;
      for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < valid; j++) to[(first + j) * depth + k] = in[k * panel + j];
    }
  });
  return weight;
}

// Every change in place counts up a tensor's version, so the sum over given tensors is the same only if none was
// changed.
int64_t version(at::TensorList tensors) {
  int64_t sum = 0;
  for (const Tensor& t : tensors) {
    TORCH_CHECK(!t.is_inference(), "weights_version: got a tensor made in inference mode, which counts no changes.");
    sum += static_cast<int64_t>(t._version());
  }
  return sum;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("pack_weights(Tensor weight) -> Tensor");
  m.def("unpack_matrix(Tensor packed, int columns) -> Tensor");
  m.def("weights_version(Tensor[] tensors) -> int");
}
TORCH_LIBRARY_IMPL(mamba_prune, CompositeImplicitAutograd, m) {
  m.impl("pack_weights", pack);
  m.impl("unpack_matrix", unpack);
  m.impl("weights_version", version);
}

}  // namespace packed_op
}  // namespace mamba_prune
