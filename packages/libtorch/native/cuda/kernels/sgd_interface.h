// What sgd.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::sgd_kernel {

constexpr int kMostTensors = 120;  // of a launch: its arguments are up to 4,096 bytes
constexpr int kThreads = 256;
constexpr int kPerThread = 8;
constexpr int kPerBlock = kThreads * kPerThread;  // elements

/** A parameter with its gradient and the running sum of its gradients, which is null without momentum. */
struct Parameter {
  float *param, *velocity;
  const float* grad;
  int size, first_block;
};
MAMBA_PRUNE_CHECK_LAYOUT(Parameter, 3 * 8 + 2 * 4);
struct SgdArgs {
  Parameter of[kMostTensors];
  const float *rate, *skip;  // the learning rate; where `skip` is there and 1, nothing is to change
  float momentum, decay;     // decay: times a parameter is added to its gradient
  int nesterov, count;
};
MAMBA_PRUNE_CHECK_LAYOUT(SgdArgs, kMostTensors * (3 * 8 + 2 * 4) + 2 * 8 + 4 * 4);

}  // namespace mamba_prune::cuda::sgd_kernel
