// The last layer of a classifier and its loss, in float32: products so narrow that a library's kernels spend most of
// their time on tiles that are empty, and a loss that they compute sample by sample in one block.
#include "classifier_interface.h"

using namespace mamba_prune::cuda::classifier_kernel;

namespace {

__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, step));
  return v;
}

}  // namespace

// Logits: a warp takes a sample, its lanes the columns. Four classes at a time hide each other's sums over lanes.
extern "C" __global__ void __launch_bounds__(kThreads) classifier_forward(const ClassifierArgs a) {
  const int sample = blockIdx.x * kWarps + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (sample >= a.batch) return;
  const float* row = a.features + (i64)sample * a.width;
  for (int first = 0; first < a.classes; first += 4) {
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int column = lane; column < a.width; column += 32) {
      const float feature = row[column];
#pragma unroll
      for (int k = 0; k < 4; k++)
        if (first + k < a.classes) sums[k] += feature * a.weight[(i64)(first + k) * a.width + column];
    }
#pragma unroll
    for (int k = 0; k < 4; k++) sums[k] = warp_sum(sums[k]);
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (lane == k && first + k < a.classes)
        a.logits[(i64)sample * a.classes + first + k] = sums[k] + a.bias[first + k];
  }
}

// The gradient of the features: a block takes some samples, a thread a column of each.
extern "C" __global__ void __launch_bounds__(kThreads) classifier_backward_features(const ClassifierArgs a) {
  const int first = blockIdx.x * kBackSamples;
  for (int column = threadIdx.x; column < a.width; column += kThreads) {
    float sums[kBackSamples];
#pragma unroll
    for (int k = 0; k < kBackSamples; k++) sums[k] = 0.0f;
    for (int c = 0; c < a.classes; c++) {
      const float weight = a.weight[(i64)c * a.width + column];
#pragma unroll
      for (int k = 0; k < kBackSamples; k++)
        if (first + k < a.batch) sums[k] += weight * a.dlogits[(i64)(first + k) * a.classes + c];
    }
#pragma unroll
    for (int k = 0; k < kBackSamples; k++)
      if (first + k < a.batch) a.dfeatures[(i64)(first + k) * a.width + column] = sums[k];
  }
}

// The gradients of weight and bias: a block takes 32 columns (x) of some classes (y), each of its warps every kWarps-th
// sample. Sums are in a fixed order.
extern "C" __global__ void __launch_bounds__(kThreads) classifier_backward_weight(const ClassifierArgs a) {
  __shared__ float parts[kWarps][2 * kBackClasses][32];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int column = blockIdx.x * 32 + lane, first = blockIdx.y * kBackClasses;
  const bool inside = column < a.width;
  float sums[kBackClasses], biases[kBackClasses];
#pragma unroll
  for (int k = 0; k < kBackClasses; k++) sums[k] = biases[k] = 0.0f;
#pragma unroll 8
  for (int sample = warp; sample < a.batch; sample += kWarps) {
    const float feature = inside ? a.features[(i64)sample * a.width + column] : 0.0f;
#pragma unroll
    for (int k = 0; k < kBackClasses; k++) {
      const float d = first + k < a.classes ? a.dlogits[(i64)sample * a.classes + first + k] : 0.0f;
      sums[k] += d * feature, biases[k] += d;
    }
  }
#pragma unroll
  for (int k = 0; k < kBackClasses; k++)
    parts[warp][k][lane] = sums[k], parts[warp][kBackClasses + k][lane] = biases[k];
  __syncthreads();
  // A warp adds up one row of all warps' sums.
  if (warp >= 2 * kBackClasses) return;
  const int c = first + warp % kBackClasses;
  float total = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; w++) total += parts[w][warp][lane];
  if (c >= a.classes) return;
  if (warp < kBackClasses) {
    if (inside) a.dweight[(i64)c * a.width + column] = total;
  } else if (blockIdx.x == 0 && lane == 0) {
    a.dbias[c] = total;
  }
}
static_assert(kWarps == 2 * kBackClasses, "a warp for each row of sums");

// The cross entropy of a sample's softmax with its target, and its gradient: a warp takes a sample.
extern "C" __global__ void __launch_bounds__(kThreads) cross_entropy_rows(const LossArgs a) {
  const int sample = blockIdx.x * kWarps + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (sample >= a.batch) return;
  const float* row = a.logits + (i64)sample * a.classes;
  float most = -__int_as_float(0x7f800000);
  for (int c = lane; c < a.classes; c += 32) most = fmaxf(most, row[c]);
  most = warp_max(most);
  float sum = 0.0f;
  for (int c = lane; c < a.classes; c += 32) sum += expf(row[c] - most);
  sum = warp_sum(sum);
  const float norm = most + logf(sum), even = a.smoothing / a.classes;
  const i64 label = a.labels ? a.labels[sample] : 0;
  // libtorch's mark of a sample that does not count. Any other number that is no class gives NaN, which is noticed.
  const bool counted = !a.labels || label != -100, known = !a.labels || (label >= 0 && label < a.classes);
  const float wrong = known || !counted ? 0.0f : __int_as_float(0x7fc00000);
  float loss = 0.0f, total = 0.0f;
  for (int c = lane; c < a.classes; c += 32) {
    const float given = a.targets ? a.targets[(i64)sample * a.classes + c] : c == label ? 1.0f : 0.0f;
    const float target = (1.0f - a.smoothing) * given + even;
    // 0 times the logarithm of a probability of 0 is 0.
    if (target != 0.0f) loss += target * (norm - row[c]);
    total += target;
  }
  loss = warp_sum(loss) + wrong, total = warp_sum(total);
  if (lane == 0) a.losses[sample] = counted ? loss : 0.0f, a.counted[sample] = counted;
  if (!a.slopes) return;
  for (int c = lane; c < a.classes; c += 32) {
    const float given = a.targets ? a.targets[(i64)sample * a.classes + c] : c == label ? 1.0f : 0.0f;
    const float target = (1.0f - a.smoothing) * given + even;
    a.slopes[(i64)sample * a.classes + c] = counted ? total * expf(row[c] - norm) - target + wrong : 0.0f;
  }
}

// One block: the mean over the samples that count, in a fixed order.
extern "C" __global__ void __launch_bounds__(kThreads) cross_entropy_mean(const LossArgs a) {
  __shared__ float parts[2][kWarps];
  float loss = 0.0f, count = 0.0f;
  for (int sample = threadIdx.x; sample < a.batch; sample += kThreads)
    loss += a.losses[sample], count += a.counted[sample];
  loss = warp_sum(loss), count = warp_sum(count);
  if ((threadIdx.x & 31) == 0) parts[0][threadIdx.x >> 5] = loss, parts[1][threadIdx.x >> 5] = count;
  __syncthreads();
  if (threadIdx.x != 0) return;
  loss = count = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; w++) loss += parts[0][w], count += parts[1][w];
  a.loss[0] = loss / count, a.share[0] = 1.0f / count;
}

extern "C" __global__ void __launch_bounds__(kThreads) cross_entropy_backward(const LossArgs a) {
  const i64 i = (i64)blockIdx.x * kThreads + threadIdx.x;
  if (i >= (i64)a.batch * a.classes) return;
  const float slope = a.slopes[i];
  // Where no sample counts the share is infinite, and so the mean NaN; the gradients are zero, as libtorch's are.
  a.dlogits[i] = slope == 0.0f ? 0.0f : slope * (a.upstream[0] * a.share[0]);
}
