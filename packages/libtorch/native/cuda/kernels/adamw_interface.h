// What adamw.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::adamw_kernel {

constexpr int kMostTensors = 80;  // of a launch: its arguments are up to 4,096 bytes
constexpr int kThreads = 256;
constexpr int kPerThread = 8;
constexpr int kPerBlock = kThreads * kPerThread;  // elements

/** A parameter with its gradient, the averages of the gradient and of its square, and the number of this step. */
struct Parameter {
  float *param, *average, *square;
  const float *grad, *count;
  int size, first_block;
};
MAMBA_PRUNE_CHECK_LAYOUT(Parameter, 5 * 8 + 2 * 4);
struct AdamWArgs {
  Parameter of[kMostTensors];
  const float *rate, *skip;    // the learning rate; where `skip` is there and 1, nothing is to change
  double beta1, beta2, decay;  // decay: times the rate is what the parameters lose
  float eps;
  int count;
};
MAMBA_PRUNE_CHECK_LAYOUT(AdamWArgs, kMostTensors * (5 * 8 + 2 * 4) + 5 * 8 + 2 * 4);

}  // namespace mamba_prune::cuda::adamw_kernel
