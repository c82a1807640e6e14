// Adam with decoupled weight decay for many parameters in one launch, with the formulas of torch.optim.AdamW.
// libtorch's kernel gives a block 65,536 elements: most parameters here are a block each then, and a launch takes as
// long as its largest does.
//
// Defined by the caller: nothing.
#include "adamw_interface.h"
#include "elements.cuh"
#include "items.cuh"

using namespace mamba_prune::cuda::adamw_kernel;

struct Step {
  float beta1, rest1, beta2, rest2, eps, lost, size, root;
  __device__ __forceinline__ void apply(float& param, float& average, float& square, float grad) const {
    param = __fmaf_rn(-lost, param, param);
    average = __fmaf_rn(beta1, average, rest1 * grad);
    square = __fmaf_rn(beta2, square, rest2 * grad * grad);
    param -= size * average / (sqrtf(square) / root + eps);
  }
};

// Of the numbers of a step only those that all elements share are computed in float64: 1 - beta^t loses digits.
__device__ __forceinline__ Step step_of(const AdamWArgs& a, const Parameter& p) {
  const double count = *p.count, rate = *a.rate;
  const double bias1 = 1.0 - pow(a.beta1, count), bias2 = 1.0 - pow(a.beta2, count);
  return {(float)a.beta1, (float)(1.0 - a.beta1),  (float)a.beta2,        (float)(1.0 - a.beta2),
          a.eps,          (float)(rate * a.decay), (float)(rate / bias1), (float)sqrt(bias2)};
}

extern "C" __global__ void __launch_bounds__(kThreads) adamw(const __grid_constant__ AdamWArgs a) {
  __shared__ Step shared;
  if (a.skip && *a.skip != 0.0f) return;
  const Parameter& p = item_of(a);
  const Elements<kThreads, kPerThread> own(p, (u64)p.param | (u64)p.average | (u64)p.square | (u64)p.grad);
  // On their way before what one thread computes for all.
  float4 param[own.kFours], average[own.kFours], square[own.kFours], grad[own.kFours];
#pragma unroll
  for (int j = 0; j < own.kFours; j++) {
    if (!own.whole(j)) continue;
    param[j] = four_at(p.param, own.place(j)), grad[j] = four_at(p.grad, own.place(j));
    average[j] = four_at(p.average, own.place(j)), square[j] = four_at(p.square, own.place(j));
  }
  if (threadIdx.x == 0) shared = step_of(a, p);
  __syncthreads();
  const Step step = shared;
#pragma unroll
  for (int j = 0; j < own.kFours; j++) {
    if (!own.whole(j)) {
      own.rest(j, [&](int i) { step.apply(p.param[i], p.average[i], p.square[i], p.grad[i]); });
      continue;
    }
    apply_to_four(step, param[j], average[j], square[j], grad[j]);
    four_at(p.param, own.place(j)) = param[j];
    four_at(p.average, own.place(j)) = average[j], four_at(p.square, own.place(j)) = square[j];
  }
}
