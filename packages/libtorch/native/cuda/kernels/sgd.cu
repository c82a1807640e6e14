// Gradient descent with momentum for many parameters in one launch, with the formulas of torch.optim.SGD (dampening 0).
// The running sums begin as zeros, so that the first step needs no case of its own.
//
// Defined by the caller: nothing.
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

__device__ __forceinline__ bool in_fours(const Parameter& p) {
  return ((u64)p.param | (u64)p.velocity | (u64)p.grad) % 16 == 0;
}

extern "C" __global__ void __launch_bounds__(kThreads) sgd(const __grid_constant__ SgdArgs a) {
  if (a.skip && *a.skip != 0.0f) return;
  const Parameter& p = item_of(a);
  const int first = (blockIdx.x - p.first_block) * kPerBlock, end = min(first + kPerBlock, p.size);
  constexpr int kFours = kPerThread / 4;
  const bool fours = in_fours(p);
  const auto place = [&](int j) { return first + 4 * (j * kThreads + (int)threadIdx.x); };
  const auto whole = [&](int j) { return fours && place(j) + 4 <= end; };
  // All loads are on their way before the first store.
  float4 param[kFours], velocity[kFours], grad[kFours];
#pragma unroll
  for (int j = 0; j < kFours; j++) {
    velocity[j] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (!whole(j)) continue;
    param[j] = *reinterpret_cast<const float4*>(p.param + place(j));
    grad[j] = *reinterpret_cast<const float4*>(p.grad + place(j));
    if (p.velocity) velocity[j] = *reinterpret_cast<const float4*>(p.velocity + place(j));
  }
  const Step step{*a.rate, a.momentum, a.decay, a.nesterov != 0};
#pragma unroll
  for (int j = 0; j < kFours; j++) {
    if (!whole(j)) {
      for (int i = place(j); i < min(place(j) + 4, end); i++) {
        float sum = p.velocity ? p.velocity[i] : 0.0f;
        step.apply(p.param[i], sum, p.grad[i]);
        if (p.velocity) p.velocity[i] = sum;
      }
      continue;
    }
    step.apply(param[j].x, velocity[j].x, grad[j].x);
    step.apply(param[j].y, velocity[j].y, grad[j].y);
    step.apply(param[j].z, velocity[j].z, grad[j].z);
    step.apply(param[j].w, velocity[j].w, grad[j].w);
    *reinterpret_cast<float4*>(p.param + place(j)) = param[j];
    if (p.velocity) *reinterpret_cast<float4*>(p.velocity + place(j)) = velocity[j];
  }
}
