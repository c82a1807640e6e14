// What classifier.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::classifier_kernel {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
/** Samples of a block in the pass back to the features: they share what it reads of the weight. */
constexpr int kBackSamples = 8;
/** Classes of a block in the gradient of the weight: they share what it reads of the features. */
constexpr int kBackClasses = 4;

struct ClassifierArgs {
  const float *features, *weight, *bias;  // [batch, width], [classes, width], [classes]
  float* logits;                          // [batch, classes]
  const float* dlogits;                   // [batch, classes]
  float *dfeatures, *dweight, *dbias;
  int batch, width, classes;
};
MAMBA_PRUNE_CHECK_LAYOUT(ClassifierArgs, 8 * 8 + 3 * 4 + 4);

struct LossArgs {
  const float* logits;      // [batch, classes]
  const long long* labels;  // [batch], or null
  const float* targets;     // [batch, classes], or null
  float* losses;            // [batch]
  unsigned char* counted;   // [batch]: whether a sample's label counts
  float* slopes;            // [batch, classes]: the gradient of a sample's own loss, or null
  float *loss, *share;      // of one element: the mean, and 1 / how many are counted
  const float* upstream;    // of one element: the gradient of the mean
  float* dlogits;           // [batch, classes]
  int batch, classes;
  float smoothing;
};
MAMBA_PRUNE_CHECK_LAYOUT(LossArgs, 10 * 8 + 2 * 4 + 4 + 4);

}  // namespace mamba_prune::cuda::classifier_kernel
