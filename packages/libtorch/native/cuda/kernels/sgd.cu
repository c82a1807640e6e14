// Gradient descent with momentum for many parameters in one launch, with the formulas of torch.optim.SGD (dampening 0).
// The running sums begin as zeros, so that the first step needs no case of its own.
//
// Defined by the caller: nothing.
#include "elements.cuh"
#include "items.cuh"
#include "sgd_interface.h"

using namespace mamba_prune::cuda::sgd_kernel;

struct Step {
  float rate, momentum, decay;
  bool nesterov;
  __device__ __forceinline__ void apply(float& param, float& velocity, float grad) const {
    grad = __fmaf_rn(decay, param, grad);
    velocity = __fmaf_rn(momentum, velocity, grad);
    const float direction = nesterov ? __fmaf_rn(momentum, velocity, grad) : velocity;
    param = __fmaf_rn(-rate, direction, param);
  }
};

extern "C" __global__ void __launch_bounds__(kThreads) sgd(const __grid_constant__ SgdArgs a) {
  if (a.skip && *a.skip != 0.0f) return;
  const Parameter& p = item_of(a);
  const Elements<kThreads, kPerThread> own(p, (u64)p.param | (u64)p.velocity | (u64)p.grad);
  // All loads are on their way before the first store.
  float4 param[own.kFours], velocity[own.kFours], grad[own.kFours];
#pragma unroll
  for (int j = 0; j < own.kFours; j++) {
    velocity[j] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (!own.whole(j)) continue;
    param[j] = four_at(p.param, own.place(j)), grad[j] = four_at(p.grad, own.place(j));
    if (p.velocity) velocity[j] = four_at(p.velocity, own.place(j));
  }
  const Step step{*a.rate, a.momentum, a.decay, a.nesterov != 0};
#pragma unroll
  for (int j = 0; j < own.kFours; j++) {
    if (!own.whole(j)) {
      own.rest(j, [&](int i) {
        float sum = p.velocity ? p.velocity[i] : 0.0f;
        step.apply(p.param[i], sum, p.grad[i]);
        if (p.velocity) p.velocity[i] = sum;
      });
      continue;
    }
    apply_to_four(step, param[j], velocity[j], grad[j]);
    four_at(p.param, own.place(j)) = param[j];
    if (p.velocity) four_at(p.velocity, own.place(j)) = velocity[j];
  }
}
