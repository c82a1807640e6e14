// mamba_prune::augment_batch and augment_batch_, for the devices that register them: the arguments of the operators,
// checked, as the kernel takes them. The kernel is cuda/kernels/augment.cu.
#pragma once
#include <ATen/ATen.h>

#include <cstdint>
#include <tuple>

#include "../cuda/kernels/augment_interface.h"
#include "op_util.h"

namespace mamba_prune::augment_op {

using at::Tensor;

struct Inputs {
  const Tensor &images, &labels, &order, &state, &mean, &std;
  const OptionalTensor& samples;
};
struct Outputs {
  Tensor images, labels, targets;
};
// The numbers of the schema.
struct Settings {
  int64_t batch, first_row, global_batch, classes, pad_crop;
  bool flip;
  c10::ArrayRef<double> resized_crop;
  int64_t rand_ops;
  double rand_magnitude;
  bool nearest;
  int64_t cutout;
  double mixup, cutmix, mix_probability;
  bool advance;
  double erasing;
};

// New tensors for a batch; targets has no element when nothing is mixed.
Outputs make_outputs(const Inputs& in, const Settings& s, at::ScalarType dtype);
// @throws c10::Error naming what was given and what was expected. Values on a GPU cannot be checked without waiting for
// it: a row of `order` that is out of range gives an image of NaN there.
augment::AugmentArgs checked(const Inputs& in, const Settings& s, const Outputs& out);

// Run(arguments, a tensor on the device, advance): makes the batch and then adds one to the step.
using Runner = void (*)(augment::AugmentArgs, const Tensor& state, bool advance);

template <Runner run> struct AugmentOp {
  static void into(const Tensor& images, const Tensor& labels, const Tensor& order, const Tensor& state,
                   const Tensor& mean, const Tensor& std, const Tensor& out_images, const Tensor& out_labels,
                   const Tensor& out_targets, int64_t batch, int64_t first_row, int64_t global_batch, int64_t classes,
                   int64_t pad_crop, bool flip, c10::ArrayRef<double> resized_crop, int64_t rand_ops,
                   double rand_magnitude, bool nearest, int64_t cutout, double mixup, double cutmix,
                   double mix_probability, bool advance, const OptionalTensor& samples, double erasing) {
    const Inputs in{images, labels, order, state, mean, std, samples};
    const Settings s{batch,        first_row,       global_batch,   classes, pad_crop, flip,
                     resized_crop, rand_ops,        rand_magnitude, nearest, cutout,   mixup,
                     cutmix,       mix_probability, advance,        erasing};
    make(in, s, {out_images, out_labels, out_targets});
  }
  static std::tuple<Tensor, Tensor, Tensor> made(const Tensor& images, const Tensor& labels, const Tensor& order,
                                                 const Tensor& state, const Tensor& mean, const Tensor& std,
                                                 at::ScalarType dtype, int64_t batch, int64_t first_row,
                                                 int64_t global_batch, int64_t classes, int64_t pad_crop, bool flip,
                                                 c10::ArrayRef<double> resized_crop, int64_t rand_ops,
                                                 double rand_magnitude, bool nearest, int64_t cutout, double mixup,
                                                 double cutmix, double mix_probability, bool advance,
                                                 const OptionalTensor& samples, double erasing) {
    const Inputs in{images, labels, order, state, mean, std, samples};
    const Settings s{batch,        first_row,       global_batch,   classes, pad_crop, flip,
                     resized_crop, rand_ops,        rand_magnitude, nearest, cutout,   mixup,
                     cutmix,       mix_probability, advance,        erasing};
    const Outputs out = make_outputs(in, s, dtype);
    make(in, s, out);
    return {out.images, out.labels, out.targets};
  }

 private:
  static void make(const Inputs& in, const Settings& s, const Outputs& out) {
    at::AutoDispatchBelowADInplaceOrView below;
    const augment::AugmentArgs args = checked(in, s, out);
    // Written through raw pointers, which autograd does not see.
    for (const Tensor* t : {&out.images, &out.labels, &out.targets}) t->unsafeGetTensorImpl()->bump_version();
    if (s.advance) in.state.unsafeGetTensorImpl()->bump_version();
    run(args, in.state, s.advance);
  }
};

}  // namespace mamba_prune::augment_op
