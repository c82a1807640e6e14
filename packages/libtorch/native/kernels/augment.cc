// mamba_prune::augment_batch: a training batch out of a data set of uint8 images that lies on the device, made by one
// kernel without a wait of the host. augment_batch_ writes it into given tensors, for CUDA graphs. Here are the schemas
// and the checks; devices register themselves (augment_cpu.cc, cuda/augment_cuda.cc). No gradients.
#include <torch/library.h>

#include <algorithm>
#include <string>

#include "augment_op.h"

namespace mamba_prune::augment_op {
namespace {

// Far above any image or list of classes, far below what overflows the kernel's int.
constexpr int64_t kMaxPixels = int64_t{1} << 26, kMaxClasses = int64_t{1} << 22, kMaxBatch = int64_t{1} << 24;

void check_input(const char* name, const Tensor& t, at::ScalarType dtype, const Tensor& images) {
  TORCH_CHECK(t.scalar_type() == dtype, "augment_batch: got ", name, " of dtype ", t.scalar_type(), ", expected ",
              dtype, ". Convert it.");
  TORCH_CHECK(t.layout() == at::kStrided && t.is_contiguous(), "augment_batch: got ", name, " of shape ", t.sizes(),
              " that is not contiguous, expected one that is. Call contiguous() first.");
  TORCH_CHECK(t.device() == images.device(), "augment_batch: got ", name, " on ", t.device(), ", expected ",
              images.device(), " as the images. Move one of them.");
  TORCH_CHECK(!t.requires_grad(), "augment_batch: got ", name,
              " that requires gradients, expected none: it has no gradient. Detach it.");
}
void check_shape(const char* name, const Tensor& t, at::IntArrayRef shape, const char* layout) {
  TORCH_CHECK(t.sizes() == shape, "augment_batch: got ", name, " of shape ", t.sizes(), ", expected ", layout, " = ",
              shape, ".");
}
void check_whole(const char* name, int64_t value, int64_t low, int64_t high) {
  TORCH_CHECK(value >= low && value <= high, "augment_batch: got ", name, " ", value, ", expected an integer from ",
              low, " to ", high, ".");
}
void check_real(const char* name, double value, double low, double high) {
  TORCH_CHECK(value >= low && value <= high, "augment_batch: got ", name, " ", value, ", expected a number from ", low,
              " to ", high, ".");
}
bool mixes(const Settings& s) { return s.mixup > 0 || s.cutmix > 0; }

void check_inputs(const Inputs& in, const Settings& s) {
  const Tensor& images = in.images;
  TORCH_CHECK(images.dim() == 4 && images.numel() > 0, "augment_batch: got images of shape ", images.sizes(),
              ", expected [count, channels, height, width] with at least one image.");
  check_input("images", images, at::kByte, images);
  TORCH_CHECK(images.numel() / images.size(0) <= kMaxPixels, "augment_batch: got images of shape ", images.sizes(),
              ", expected at most ", kMaxPixels, " values each.");
  check_input("labels", in.labels, at::kLong, images), check_shape("labels", in.labels, {images.size(0)}, "[count]");
  check_input("order", in.order, at::kLong, images);
  TORCH_CHECK(in.order.dim() == 1 && in.order.numel() > 0, "augment_batch: got order of shape ", in.order.sizes(),
              ", expected [rows] with at least one row.");
  if (in.samples.has_value()) {
    check_input("samples", *in.samples, at::kLong, images);
    check_shape("samples", *in.samples, in.order.sizes(), "the shape of order");
  }
  check_input("state", in.state, at::kLong, images), check_shape("state", in.state, {3}, "[seed, epoch, step]");
  check_input("mean", in.mean, at::kFloat, images), check_shape("mean", in.mean, {images.size(1)}, "[channels]");
  check_input("std", in.std, at::kFloat, images), check_shape("std", in.std, {images.size(1)}, "[channels]");
  check_whole("global_batch", s.global_batch, 1, std::min(kMaxBatch, in.order.numel()));
  check_whole("first_row", s.first_row, 0, s.global_batch - 1);
  check_whole("batch", s.batch, 1, s.global_batch - s.first_row);
  check_whole("classes", s.classes, mixes(s) ? 1 : 0, kMaxClasses);
}

void check_settings(const Settings& s, int64_t side) {
  check_whole("pad_crop", s.pad_crop, 0, side);
  check_whole("cutout", s.cutout, 0, 2 * side);
  check_whole("rand_ops", s.rand_ops, 0, augment::kMaxRandOps);
  check_real("rand_magnitude", s.rand_magnitude, 0, 10);
  check_real("mixup", s.mixup, 0, 100), check_real("cutmix", s.cutmix, 0, 100);
  check_real("mix_probability", s.mix_probability, 0, 1);
  check_real("erasing", s.erasing, 0, 1);
  const auto crop = s.resized_crop;
  TORCH_CHECK(crop.empty() || crop.size() == 4, "augment_batch: got ", crop.size(),
              " numbers of resized_crop, expected none or four: smallest and largest share of the area, smallest and "
              "largest ratio.");
  if (crop.empty()) return;
  TORCH_CHECK(
      crop[0] > 0 && crop[0] <= crop[1] && crop[1] <= 1 && crop[2] >= 1e-6 && crop[2] <= crop[3] && crop[3] <= 1e6,
      "augment_batch: got resized_crop ", crop,
      ", expected shares of the area above 0 and at most 1, then ratios from 1e-6 to 1e6, the smaller first.");
  TORCH_CHECK(s.pad_crop == 0,
              "augment_batch: got both resized_crop and pad_crop, expected one of them. Leave one out.");
}

augment::OutputType output_of(at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf, "augment_batch: got output dtype ",
              dtype, ", expected float32, bfloat16 or float16.");
  return dtype == at::kFloat ? augment::kFloat32 : dtype == at::kBFloat16 ? augment::kBfloat16 : augment::kFloat16;
}

// Where the host can read it: rows that the batch uses, and the labels of their images.
void check_values(const augment::AugmentArgs& a) {
  TORCH_CHECK(a.state[1] >= 0 && a.state[2] >= 0, "augment_batch: got state with epoch ", a.state[1], " and step ",
              a.state[2], ", expected both from 0.");
  const int64_t batches = (a.rows + a.global_batch - 1) / a.global_batch;
  const int64_t start = a.state[2] % batches * a.global_batch;
  for (int64_t row = start; row < std::min<int64_t>(a.rows, start + a.global_batch); row++) {
    const int64_t image = a.order[row];
    TORCH_CHECK(image >= 0 && image < a.count, "augment_batch: got image ", image, " in row ", row,
                " of order, expected 0 to ", a.count - 1, ".");
    const int64_t label = a.labels[image];
    TORCH_CHECK(!a.out_targets || (label >= 0 && label < a.classes), "augment_batch: got label ", label, " of image ",
                image, ", expected 0 to ", a.classes - 1, ".");
  }
}

}  // namespace

Outputs make_outputs(const Inputs& in, const Settings& s, at::ScalarType dtype) {
  check_inputs(in, s);
  output_of(dtype);
  const Tensor& like = in.images;
  return {at::empty({s.batch, like.size(1), like.size(2), like.size(3)}, like.options().dtype(dtype)),
          at::empty({s.batch}, like.options().dtype(at::kLong)),
          at::empty({mixes(s) ? s.batch : 0, s.classes}, like.options().dtype(at::kFloat))};
}

augment::AugmentArgs checked(const Inputs& in, const Settings& s, const Outputs& out) {
  check_inputs(in, s);
  const Tensor& images = in.images;
  check_settings(s, std::min(images.size(2), images.size(3)));
  augment::AugmentArgs a{};
  a.output = output_of(out.images.scalar_type());
  check_input("out_images", out.images, out.images.scalar_type(), images);
  check_shape("out_images", out.images, {s.batch, images.size(1), images.size(2), images.size(3)},
              "[batch, channels, height, width]");
  check_input("out_labels", out.labels, at::kLong, images), check_shape("out_labels", out.labels, {s.batch}, "[batch]");
  check_input("out_targets", out.targets, at::kFloat, images);
  check_shape("out_targets", out.targets, {mixes(s) ? s.batch : 0, s.classes},
              mixes(s) ? "[batch, classes]" : "[0, classes]: nothing is mixed");
  using augment::i64;
  const auto integers = [](const Tensor& t) { return static_cast<const i64*>(t.data_ptr()); };
  a.images = static_cast<const augment::u8*>(images.data_ptr());
  a.labels = integers(in.labels), a.order = integers(in.order), a.state = integers(in.state);
  a.samples = in.samples.has_value() ? integers(*in.samples) : nullptr;
  a.mean = data_or_null<float>(in.mean), a.std = data_or_null<float>(in.std);
  a.out = out.images.data_ptr(), a.out_labels = static_cast<i64*>(out.labels.data_ptr());
  a.out_targets = mixes(s) ? data_or_null<float>(out.targets) : nullptr;
  a.count = images.size(0), a.rows = in.order.numel();
  a.batch = s.batch, a.first_row = s.first_row, a.global_batch = s.global_batch;
  a.channels = static_cast<int>(images.size(1)), a.height = static_cast<int>(images.size(2)),
  a.width = static_cast<int>(images.size(3));
  a.classes = static_cast<int>(s.classes), a.canvases = mixes(s) ? 3 : 2;
  a.pad_crop = static_cast<int>(s.pad_crop), a.flip = s.flip, a.cutout = static_cast<int>(s.cutout);
  a.rand_ops = static_cast<int>(s.rand_ops), a.magnitude = s.rand_magnitude, a.nearest = s.nearest;
  a.mixup = s.mixup, a.cutmix = s.cutmix, a.mix_probability = s.mix_probability;
  a.erasing = s.erasing;
  a.resized = !s.resized_crop.empty();
  if (a.resized) {
    a.scale_low = s.resized_crop[0], a.scale_high = s.resized_crop[1];
    a.ratio_low = s.resized_crop[2], a.ratio_high = s.resized_crop[3];
  }
  if (images.device().is_cpu()) check_values(a);
  return a;
}

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  const std::string inputs = "Tensor images, Tensor labels, Tensor order, Tensor(a!) state, Tensor mean, Tensor std, ";
  const std::string settings =
      "int batch, int first_row, int global_batch, int classes, int pad_crop=0, bool flip=False, float[] "
      "resized_crop=[], int rand_ops=0, "
      "float rand_magnitude=9, bool nearest=False, int cutout=0, float mixup=0, float cutmix=0, float "
      "mix_probability=1, "
      "bool advance=True, Tensor? samples=None, float erasing=0) -> ";
  m.def(("augment_batch(" + inputs + "ScalarType dtype, " + settings + "(Tensor images, Tensor labels, Tensor targets)")
            .c_str());
  m.def(("augment_batch_(" + inputs + "Tensor(b!) out_images, Tensor(c!) out_labels, Tensor(d!) out_targets, " +
         settings + "()")
            .c_str());
}

}  // namespace mamba_prune::augment_op
