// What a multiprocessor does with its slice of the channels between in_proj and out_proj.
#pragma once
#include "cluster_cta.cuh"

__device__ __forceinline__ void convolve(const Cta& cta, const SsmPart& part, int channels, int gates_row, int u_row) {
  byte* memory = cta.memory;
  const float* weights = &in<float>(memory, cta.plan.ssm + part.taps);
  const float* biases = &in<float>(memory, cta.plan.ssm + part.conv_bias);
  const float* gates = &in<float>(memory, cta.plan.gates);
  constexpr int kRun = 4;  // tokens of a thread
  for (int item = threadIdx.x; item < kRows / kRun * channels; item += kThreads) {
    const int channel = item % channels, first = item / channels * kRun;
    float w[kTaps], x[kRun + kTaps - 1];
#pragma unroll
    for (int k = 0; k < kTaps; k++) w[k] = weights[k * channels + channel];
#pragma unroll
    for (int i = 0; i < kRun + kTaps - 1; i++) {
      const int token = first + i - (kTaps - 1);
      x[i] = token < 0 ? 0.0f : gates[token * gates_row + channel];
    }
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      float sum = biases[channel];
#pragma unroll
      for (int k = 0; k < kTaps; k++) sum += w[k] * x[i + k];
      in<scalar>(memory, cta.plan.u + (first + i) * u_row + channel * kBytes16) = down(sum * sigmoid(sum));
    }
  }
  // The products read 16 channels at a time.
  if (channels % 16 != 0)
    for (int row = threadIdx.x; row < kRows; row += kThreads)
      in<uint4>(memory, cta.plan.u + row * u_row + channels * kBytes16) = uint4{0, 0, 0, 0};
}

// dt and dt u of every channel and token, from the first columns of x_proj.
__device__ __forceinline__ void step_sizes(const Cta& cta, const SsmPart& part, int channels, int u_row) {
  byte* memory = cta.memory;
  const int lane = cta.lane, steps_row = kRows + 2;
  for (int task = cta.warp; task < kTiles * (channels / 8); task += kWarps) {
    const int row = task % kTiles * 16 + lane / 4, n = task / kTiles, column = n * 8 + lane % 4 * 2;
    u32 a[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 v =
          in<float2>(memory, cta.plan.projected + (row + i % 2 * 8) * kProjectedRow + (lane % 4 * 2 + i / 2 * 8) * 4);
      a[i] = pair(v.x, v.y);
    }
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply(sum, a, in<uint2>(memory, cta.plan.ssm + part.dt_proj + n * 256 + lane * 8));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int token = row + i / 2 * 8, channel = column + i % 2;
      const float dt = softplus(sum[i] + in<float>(memory, cta.plan.ssm + part.dt_bias + channel * 4));
      const float u = up(in<scalar>(memory, cta.plan.u + token * u_row + channel * kBytes16));
      in<float2>(memory, cta.plan.steps + (channel * steps_row + token) * 8) = float2{dt, dt * u};
    }
  }
}

// Of sums of 2 Width tokens each lane comes to have that of one, over 2 Width lanes.
template <int Width, int Count> __device__ __forceinline__ void sum_over_lanes(float (&sums)[Count], int lane) {
#pragma unroll
  for (int t = 0; t < Width; t++) {
    const bool upper = lane & Width;
    const float keep = upper ? sums[t + Width] : sums[t], give = upper ? sums[t] : sums[t + Width];
    sums[t] = keep + __shfl_xor_sync(kAllLanes, give, Width);
  }
  if constexpr (Width > 1) sum_over_lanes<Width / 2>(sums, lane);
}

// `Per` states of a channel in each of its lanes. y takes the place of u.
template <int Per>
__device__ __forceinline__ void scan(const Cta& cta, const SsmPart& part, int channels, int gates_row, int u_row) {
  constexpr int kLanes = kStates / Per;
  byte* memory = cta.memory;
  const int mine = threadIdx.x % kLanes, steps_row = kRows + 2;
  for (int channel = threadIdx.x / kLanes; channel < channels; channel += kThreads / kLanes) {
    float rate[Per], h[Per];
#pragma unroll
    for (int n = 0; n < Per; n++) {
      rate[n] = in<float>(memory, cta.plan.ssm + part.rate + (channel * kStates + mine * Per + n) * 4);
      h[n] = 0.0f;
    }
    const float skip = in<float>(memory, cta.plan.ssm + part.skip + channel * 4);
    const byte* B = memory + cta.plan.projected + (kRank + mine * Per) * 4;
    const float2* steps = &in<float2>(memory, cta.plan.steps) + channel * steps_row;
#pragma unroll 1
    for (int first = 0; first < kRows; first += kLanes) {
      float sums[kLanes];
#pragma unroll
      for (int t = 0; t < kLanes; t++) {
        const float2 step = steps[first + t];
        const float* b = reinterpret_cast<const float*>(B + (first + t) * kProjectedRow);
        float sum = 0.0f;
#pragma unroll
        for (int n = 0; n < Per; n++) {
          h[n] = ex2(step.x * rate[n]) * h[n] + step.y * b[n];
          sum += h[n] * b[kStates + n];
        }
        sums[t] = sum;
      }
      sum_over_lanes<kLanes / 2>(sums, mine);
      const int token = first + mine;
      scalar& u = in<scalar>(memory, cta.plan.u + token * u_row + channel * kBytes16);
      const float z = in<float>(memory, cta.plan.gates + (token * gates_row + channels + channel) * 4);
      u = down((sums[0] + skip * up(u)) * z * sigmoid(z));
    }
  }
}

// x_proj's sums of the tokens that this multiprocessor keeps, to all.
__device__ __forceinline__ void send_projected(const Cta& cta) {
  byte* memory = cta.memory;
  for (int i = threadIdx.x; i < kOwn * kProjected; i += kThreads) {
    const int place = i / kProjected * kProjectedRow + i % kProjected * 4;
    float sum = 0.0f;
#pragma unroll
    for (int source = 0; source < CLUSTER; source++)
      sum += in<float>(memory, cta.plan.received + source * kOwn * kProjectedRow + place);
    in<float>(memory, cta.plan.sums + place) = sum;
  }
  written_for_copies();
  __syncthreads();
  const int to = cta.warp + cta.lane * kWarps;
  if (to < CLUSTER)
    copy_to_rank(to, memory + cta.plan.projected + cta.rank * kOwn * kProjectedRow, memory + cta.plan.sums,
                 kOwn * kProjectedRow, cta.barriers + kGathered);
}
