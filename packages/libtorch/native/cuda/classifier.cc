// mamba_prune::classifier and mamba_prune::cross_entropy on CUDA: the last layer of a classifier and its loss, in
// float32.
#include <c10/core/DeviceGuard.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "../kernels/op_util.h"
#include "kernel.h"
#include "kernels/classifier_interface.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::classifier_op {
namespace {

using at::Tensor;
using classifier_kernel::ClassifierArgs;
using classifier_kernel::kBackClasses;
using classifier_kernel::kBackSamples;
using classifier_kernel::kThreads;
using classifier_kernel::kWarps;
using classifier_kernel::LossArgs;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kClassifier = "classifier";
constexpr const char* kLoss = "cross_entropy";

const Kernel& kernel(const char* function) {
  return find_kernel("classifier.cu", function, {{"SCALAR", MAMBA_PRUNE_FLOAT32}});
}
void check_first_derivatives(const char* op) {
  TORCH_CHECK(!at::GradMode::is_enabled(), op, ": got backward with create_graph, expected first derivatives only.");
}

ClassifierArgs classifier_args(const Tensor& features, const Tensor& weight) {
  ClassifierArgs a{};
  a.features = float_pointer(features), a.weight = float_pointer(weight);
  a.batch = static_cast<int>(features.size(0)), a.width = static_cast<int>(features.size(1));
  a.classes = static_cast<int>(weight.size(0));
  return a;
}
void check_classifier(const Tensor& features, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(features.dim() == 2 && weight.dim() == 2 && features.size(0) > 0, kClassifier, ": got features of shape ",
              features.sizes(), " and a weight of shape ", weight.sizes(),
              ", expected [batch, width] with samples in it, and [classes, width].");
  check_shape(kClassifier, "features", features, features.sizes(), at::kFloat, features);
  check_shape(kClassifier, "weight", weight, {weight.size(0), features.size(1)}, at::kFloat, features);
  check_shape(kClassifier, "bias", bias, {weight.size(0)}, at::kFloat, features);
}
Tensor classify(const Tensor& features, const Tensor& weight, const Tensor& bias) {
  const Tensor logits = at::empty({features.size(0), weight.size(0)}, features.options());
  ClassifierArgs a = classifier_args(features, weight);
  a.bias = float_pointer(bias), a.logits = float_pointer(logits);
  kernel("classifier_forward").launch({u32(ceil_div(a.batch, kWarps))}, kThreads, 0, a);
  return logits;
}

class Classifier : public torch::autograd::Function<Classifier> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& features, const Tensor& weight, const Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(features.device());
    ctx->save_for_backward({features, weight});
    return classify(features, weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_first_derivatives(kClassifier);
    if (!grads[0].defined()) return variable_list(3);
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &features = saved[0], &weight = saved[1], dlogits = grads[0].contiguous();
    const c10::DeviceGuard guard(features.device());
    ClassifierArgs a = classifier_args(features, weight);
    a.dlogits = float_pointer(dlogits);
    const Tensor dfeatures = at::empty_like(features);
    a.dfeatures = float_pointer(dfeatures);
    kernel("classifier_backward_features").launch({u32(ceil_div(a.batch, kBackSamples))}, kThreads, 0, a);
    const Tensor dweight = at::empty_like(weight), dbias = at::empty({a.classes}, features.options());
    a.dweight = float_pointer(dweight), a.dbias = float_pointer(dbias);
    kernel("classifier_backward_weight")
        .launch({u32(ceil_div(a.width, 32)), u32(ceil_div(a.classes, kBackClasses))}, kThreads, 0, a);
    return {dfeatures, dweight, dbias};
  }
};

Tensor classifier(const Tensor& features_, const Tensor& weight, const Tensor& bias) {
  const c10::DeviceGuard guard(features_.device());
  const Tensor features = features_.contiguous();
  check_classifier(features, weight, bias);
  return classify(features, weight, bias);
}
Tensor classifier_autograd(const Tensor& features_, const Tensor& weight, const Tensor& bias) {
  if (!any_requires_grad({features_, weight, bias})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return classifier(features_, weight, bias);
  }
  const Tensor features = features_.contiguous();
  check_classifier(features, weight, bias);
  return Classifier::apply(features, weight, bias);
}

void check_loss(const Tensor& logits, const Tensor& target, double smoothing) {
  TORCH_CHECK(logits.dim() == 2 && logits.size(0) > 0 && logits.size(1) > 0, kLoss, ": got logits of shape ",
              logits.sizes(), ", expected [batch, classes] with samples and classes in it.");
  TORCH_CHECK(smoothing >= 0 && smoothing <= 1, kLoss, ": got a smoothing of ", smoothing, ", expected 0 to 1.");
  check_shape(kLoss, "logits", logits, logits.sizes(), at::kFloat, logits);
  if (target.scalar_type() == at::kLong) {
    check_shape(kLoss, "target", target, {logits.size(0)}, at::kLong, logits);
  } else {
    check_shape(kLoss, "target", target, logits.sizes(), at::kFloat, logits);
  }
}
LossArgs loss_args(const Tensor& slopes, const Tensor& share, int64_t batch, int64_t classes) {
  LossArgs a{};
  a.slopes = float_pointer(slopes), a.share = float_pointer(share);
  a.batch = static_cast<int>(batch), a.classes = static_cast<int>(classes);
  return a;
}
// The mean; `slopes`, where it is defined, gets the gradients of the samples' own losses.
Tensor mean_loss(const Tensor& logits, const Tensor& target, double smoothing, const Tensor& slopes,
                 const Tensor& share) {
  const Tensor losses = at::empty({logits.size(0)}, logits.options());
  const Tensor counted = at::empty({logits.size(0)}, logits.options().dtype(at::kByte));
  const Tensor loss = at::empty({}, logits.options());
  LossArgs a = loss_args(slopes, share, logits.size(0), logits.size(1));
  a.logits = float_pointer(logits), a.losses = float_pointer(losses), a.loss = float_pointer(loss);
  a.counted = static_cast<unsigned char*>(pointer(counted)), a.smoothing = static_cast<float>(smoothing);
  if (target.scalar_type() == at::kLong) {
    a.labels = static_cast<const long long*>(pointer(target));
  } else {
    a.targets = float_pointer(target);
  }
  kernel("cross_entropy_rows").launch({u32(ceil_div(a.batch, kWarps))}, kThreads, 0, a);
  kernel("cross_entropy_mean").launch({1}, kThreads, 0, a);
  return loss;
}

class CrossEntropy : public torch::autograd::Function<CrossEntropy> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& logits, const Tensor& target, double smoothing) {
    at::AutoDispatchBelowADInplaceOrView below;
    const c10::DeviceGuard guard(logits.device());
    const Tensor slopes = at::empty_like(logits), share = at::empty({}, logits.options());
    ctx->save_for_backward({slopes, share});
    return mean_loss(logits, target, smoothing, slopes, share);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    check_first_derivatives(kLoss);
    if (!grads[0].defined()) return variable_list(3);
    at::AutoDispatchBelowADInplaceOrView below;
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &slopes = saved[0], &share = saved[1], upstream = grads[0].contiguous();
    const c10::DeviceGuard guard(slopes.device());
    const Tensor dlogits = at::empty_like(slopes);
    LossArgs a = loss_args(slopes, share, slopes.size(0), slopes.size(1));
    a.upstream = float_pointer(upstream), a.dlogits = float_pointer(dlogits);
    kernel("cross_entropy_backward").launch({u32(ceil_div(slopes.numel(), kThreads))}, kThreads, 0, a);
    return {dlogits, Tensor(), Tensor()};
  }
};

Tensor cross_entropy(const Tensor& logits_, const Tensor& target_, double smoothing) {
  const c10::DeviceGuard guard(logits_.device());
  const Tensor logits = logits_.contiguous(), target = target_.contiguous();
  check_loss(logits, target, smoothing);
  return mean_loss(logits, target, smoothing, Tensor(), at::empty({}, logits.options()));
}
Tensor cross_entropy_autograd(const Tensor& logits_, const Tensor& target_, double smoothing) {
  if (!any_requires_grad({logits_})) {
    at::AutoDispatchBelowADInplaceOrView below;
    return cross_entropy(logits_, target_, smoothing);
  }
  const Tensor logits = logits_.contiguous(), target = target_.contiguous();
  check_loss(logits, target, smoothing);
  TORCH_CHECK(!target.requires_grad(), kLoss, ": got targets that require a gradient, which they have none of.");
  return CrossEntropy::apply(logits, target, smoothing);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("classifier(Tensor features, Tensor weight, Tensor bias) -> Tensor");
  m.def("cross_entropy(Tensor logits, Tensor target, float smoothing) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("classifier", classifier);
  m.impl("cross_entropy", cross_entropy);
}
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) {
  m.impl("classifier", classifier_autograd);
  m.impl("cross_entropy", cross_entropy_autograd);
}

}  // namespace mamba_prune::cuda::classifier_op
