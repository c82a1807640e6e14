// mamba_prune::low_patches: a convolution of patches without padding as a sequence, with a matrix that pack_low made,
// for inference on the CPU. Pixels of some patches are gathered and converted while they lie in the second-level cache.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>

#include "low_packed.h"
#include "op_util.h"
#include "packed.h"
#include "scratch.h"

namespace mamba_prune::low_patches_op {
namespace {

using at::Tensor;

// Patches that a thread takes at a time: whole tiles of every kernel.
constexpr int64_t kPatchesAtATime = 96;

struct Images {
  const float* pixels;
  int64_t channels, height, width, patch, stride;
  int64_t rows() const { return (height - patch) / stride + 1; }
  int64_t columns() const { return (width - patch) / stride + 1; }
  int64_t depth() const { return channels * patch * patch; }

  // The pixels of patch `index` of the whole batch, channel by channel and line by line.
  void gather(int64_t index, float* out) const {
    const int64_t each = rows() * columns(), at = index % each;
    const float* corner =
        pixels + index / each * channels * height * width + at / columns() * stride * width + at % columns() * stride;
    for (int64_t c = 0; c < channels; c++)
      for (int64_t y = 0; y < patch; y++, out += patch)
        std::memcpy(out, corner + (c * height + y) * width, static_cast<size_t>(patch) * sizeof(float));
  }
};

Tensor forward(const Tensor& images_, const Tensor& weight, const OptionalTensor& bias_, int64_t patch,
               int64_t stride) {
  TORCH_CHECK(
      images_.is_cpu() && images_.scalar_type() == at::kFloat && images_.layout() == at::kStrided && images_.dim() == 4,
      "low_patches: got images of ", images_.scalar_type(), " and shape ", images_.sizes(), " on ", images_.device(),
      ", expected float32 of shape [batch, channels, height, width] on the CPU.");
  TORCH_CHECK(patch > 0 && stride > 0 && patch <= images_.size(2) && patch <= images_.size(3),
              "low_patches: got patches of ", patch, " pixels a side, ", stride, " apart, and images of shape ",
              images_.sizes(), ", expected positive numbers and a patch that fits into an image.");
  const Tensor bias = defined_or_empty(bias_);
  for (const Tensor& t : {images_, bias})
    if (t.defined()) refuse_gradient("low_patches", t);
  at::AutoDispatchBelowADInplaceOrView below;
  const LowKernels& kernels = kernels_for("low_patches", weight);
  const Tensor pixels = images_.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  const Images images{
      static_cast<const float*>(pixels.data_ptr()), pixels.size(1), pixels.size(2), pixels.size(3), patch, stride};
  const int64_t columns = low_columns("low_patches", weight), depth = images.depth();
  LowProduct g{};
  g.weight = low_matrix("low_patches", "weight", weight, kernels, columns, depth);
  check_tensor("low_patches", "bias", bias, {columns}, "[columns]", images_);
  const Tensor out = at::empty({pixels.size(0), images.rows() * images.columns(), columns}, pixels.options());
  if (out.numel() == 0) return out;
  g.bias = data_or_null<float>(b), g.out_stride = columns;
  const int64_t patches = out.size(0) * out.size(1), chunks = (patches + kPatchesAtATime - 1) / kPatchesAtATime;
  const int64_t panels = (columns + kLowPanel - 1) / kLowPanel;
  const LowScratch layout(kernels.precision, kPatchesAtATime, depth);
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    const Scratch<float> memory(layout.total), row(depth);
    const LowRows rows = layout.in(memory.data());
    LowProduct mine = g;
    for (int64_t chunk = begin; chunk < end; chunk++) {
      const int64_t first = chunk * kPatchesAtATime, count = std::min(kPatchesAtATime, patches - first);
      for (int64_t r = 0; r < count; r++) {
        images.gather(first + r, row.data());
        kernels.convert(row.data(), 0, depth, rows, r, r + 1);
      }
      mine.rows = count, mine.out = static_cast<float*>(out.data_ptr()) + first * columns;
      kernels.multiply(mine, rows, 0, panels, 0, count);
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("low_patches(Tensor images, Tensor weight, Tensor? bias, int patch, int stride) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("low_patches", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("low_patches", forward); }

}  // namespace mamba_prune::low_patches_op
