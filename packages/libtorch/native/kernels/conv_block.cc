// mamba_prune::conv_block: convolutions in a row, each with ReLU, around them a shortcut; without gradients, float32 on
// the CPU, channels last. The arithmetic is in image_conv_kernel.h; here are the checks, the memory and the threads.
#include <ATen/ATen.h>
#include <omp.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernel_table.h"
#include "op_util.h"
#include "packed.h"
#include "team_size.h"

namespace mamba_prune::conv_block_op {
namespace {

using at::Tensor;

// Sizes beyond these are refused, so that no product of them leaves 64 bits.
constexpr int64_t kMostSize = int64_t{1} << 20, kMostKernel = 31;

enum Shortcut : int64_t { kNone = 0, kIdentity = 1, kProjected = 2 };

// One convolution of an input of such a size, checked against its tensors.
struct Checked {
  std::vector<Tensor> alive;  // contiguous copies, where there were none

  ImageConv conv(const std::string& name, const Tensor& weight, const Tensor& bias, int64_t kernel, int64_t stride,
                 int64_t in, int64_t height, int64_t width) {
    TORCH_CHECK(kernel > 0 && kernel <= kMostKernel && kernel % 2 == 1 && stride > 0 && stride <= kMostKernel,
                "conv_block: got kernel ", kernel, " and stride ", stride, " for ", name,
                ", expected an odd kernel and a stride, both from 1 to ", kMostKernel, ".");
    TORCH_CHECK(weight.dim() == 4 && bias.dim() == 1 && bias.is_cpu() && bias.scalar_type() == at::kFloat &&
                    bias.size(0) > 0 && bias.size(0) <= kMostSize,
                "conv_block: got a weight of shape ", weight.sizes(), " and a bias of shape ", bias.sizes(), " (",
                bias.scalar_type(), ") for ", name, ", expected packed weights and float32 of shape [channels].");
    refuse_gradient("conv_block", bias);
    ImageConv c{in, bias.size(0), kernel, stride, height, width, nullptr, nullptr, ConvForm::gather};
    if (weight.size(0) == 16) c.form = ConvForm::winograd2;
    if (weight.size(0) == 36) c.form = ConvForm::winograd4;
    TORCH_CHECK(c.form == ConvForm::gather || (kernel == 3 && stride == 1), "conv_block: got weights for ",
                weight.size(0), " positions of ", name, " with kernel ", kernel, " and stride ", stride,
                ", expected them for a kernel of 3 at stride 1 only.");
    c.weight = packed_weights("conv_block", name.c_str(), weight, c.positions(), c.out, c.depth());
    alive.push_back(bias.contiguous());
    c.bias = static_cast<const float*>(alive.back().data_ptr());
    return c;
  }
};

int64_t multiply_adds(const ImageConv& c) { return c.out_pixels() * c.out * c.kernel * c.kernel * c.in; }

// All threads on all images.
void run_together(const ConvBlock& b, int threads) {
  const Tensor memory = at::empty({ConvBlockScratch(b, b.batch).total}, at::kFloat);
  float* scratch = static_cast<float*>(memory.data_ptr());
  const auto forward = isa().conv_block_forward;
#pragma omp parallel num_threads(threads)
  forward(b, omp_get_thread_num(), omp_get_num_threads(), scratch);
}

// Every thread on images of its own, so many at a time that the products of the smallest ones have rows enough.
void run_apart(const ConvBlock& b, int threads) {
  int64_t fewest = ConvScratch::kLeastRows;
  for (int64_t i = 0; i < b.count; i++)
    fewest = std::min(fewest, b.convs[i].form == ConvForm::gather ? b.convs[i].out_pixels() : b.convs[i].tiles());
  const int64_t share = (b.batch + threads - 1) / threads;
  const int64_t images = std::min(share, (ConvScratch::kLeastRows + fewest - 1) / fewest),
                chunks = (b.batch + images - 1) / images;
  const ImageConv &head = b.convs[0], &tail = b.convs[b.count - 1];
  const int64_t from = head.height * head.width * head.in, to = tail.out_pixels() * tail.out;
  const int64_t each = ConvBlockScratch(b, images).total;
  const Tensor memory = at::empty({threads * each}, at::kFloat);
  float* scratch = static_cast<float*>(memory.data_ptr());
  const auto work = [&](int64_t chunk, int thread) {
    ConvBlock mine = b;
    mine.batch = std::min(images, b.batch - chunk * images);
    mine.x = b.x + chunk * images * from, mine.y = b.y + chunk * images * to;
    isa().conv_block_forward(mine, 0, 1, scratch + thread * each);
  };
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t chunk = 0; chunk < chunks; chunk++) work(chunk, omp_get_thread_num());
}

Tensor forward(const Tensor& x_, at::TensorList weights, at::TensorList biases, at::IntArrayRef kernels,
               at::IntArrayRef strides, int64_t shortcut) {
  TORCH_CHECK(x_.dim() == 4 && x_.scalar_type() == at::kFloat && x_.is_cpu(), "conv_block: got x of shape ", x_.sizes(),
              " (", x_.scalar_type(), " on ", x_.device(),
              "), expected float32 of shape [batch, height, width, channels] on the CPU.");
  TORCH_CHECK(shortcut >= kNone && shortcut <= kProjected, "conv_block: got shortcut ", shortcut,
              ", expected 0 (none), 1 (x) or 2 (the last weight).");
  const int64_t given = static_cast<int64_t>(weights.size()), count = given - (shortcut == kProjected);
  TORCH_CHECK(count > 0 && count <= ConvBlock::kMost && biases.size() == weights.size() &&
                  kernels.size() == weights.size() && strides.size() == weights.size(),
              "conv_block: got ", given, " weights, ", biases.size(), " biases, ", kernels.size(), " kernels and ",
              strides.size(), " strides, expected as many of each: one for each convolution, from 1 to ",
              ConvBlock::kMost, ", and one for a projected shortcut.");
  refuse_gradient("conv_block", x_);
  at::AutoDispatchBelowADInplaceOrView below;
  const Tensor x = x_.contiguous();
  const int64_t height = x.size(1), width = x.size(2), channels = x.size(3);
  for (const int64_t size : {height, width, channels})
    TORCH_CHECK(size > 0 && size <= kMostSize, "conv_block: got x of shape ", x.sizes(), ", expected sizes from 1 to ",
                kMostSize, ".");
  Checked checked;
  ConvBlock b{};
  b.count = count, b.identity = shortcut == kIdentity, b.projected = shortcut == kProjected, b.batch = x.size(0);
  int64_t work = 0;
  for (int64_t i = 0; i < count; i++) {
    const ImageConv* before = i > 0 ? &b.convs[i - 1] : nullptr;
    b.convs[i] = checked.conv("convolution " + std::to_string(i), weights[i], biases[i], kernels[i], strides[i],
                              before ? before->out : channels, before ? before->out_height() : height,
                              before ? before->out_width() : width);
    work += multiply_adds(b.convs[i]);
  }
  const ImageConv& tail = b.convs[count - 1];
  if (b.projected)
    b.shortcut = checked.conv("the shortcut", weights[count], biases[count], kernels[count], strides[count], channels,
                              height, width);
  const ImageConv& beside = b.shortcut;
  TORCH_CHECK(!b.projected || (beside.out == tail.out && beside.out_height() == tail.out_height() &&
                               beside.out_width() == tail.out_width()),
              "conv_block: got a shortcut of another shape than the last convolution's result, expected the same.");
  TORCH_CHECK(!b.identity || (channels == tail.out && height == tail.out_height() && width == tail.out_width()),
              "conv_block: got x of shape ", x.sizes(),
              " as the shortcut, expected the shape of the last convolution's result, [batch, ", tail.out_height(),
              ", ", tail.out_width(), ", ", tail.out, "].");
  const Tensor y = at::empty({b.batch, tail.out_height(), tail.out_width(), tail.out}, x.options());
  if (y.numel() == 0) return y;
  b.x = data_or_null<float>(x), b.y = data_or_null<float>(y);
  const int threads = team_size(b.batch * work);
  if (b.batch < threads) run_together(b, threads);
  else run_apart(b, threads);
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "conv_block(Tensor x, Tensor[] weights, Tensor[] biases, int[] kernels, int[] strides, int shortcut=0) -> "
      "Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("conv_block", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("conv_block", forward); }

}  // namespace mamba_prune::conv_block_op
