// The residual stream of the tokens that a multiprocessor keeps, in registers.
#pragma once
#include "cluster_cta.cuh"

// The tokens of a warp: number i of a lane is of columns 2 (lane + 32 i) and 1 on.
struct Stream {
  float x[kMine][kPairs][2];

  __device__ __forceinline__ void read(const Args& a, const Cta& cta, int image) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps, token = cta.rank * kOwn + own;
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const int column = 2 * (cta.lane + 32 * i);
        x[r][i][0] = x[r][i][1] = 0.0f;
        if (own >= kOwn || token >= LENGTH || column >= MODEL) continue;
        const u32 two = *reinterpret_cast<const u32*>(a.x + ((i64)image * LENGTH + token) * MODEL + column);
        x[r][i][0] = low_of(two), x[r][i][1] = high_of(two);
      }
    }
  }
  __device__ __forceinline__ void write(const Args& a, const Cta& cta, int image, const int* order) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps, token = cta.rank * kOwn + own;
      if (own >= kOwn || token >= LENGTH) continue;
      int place = 0;
      for (int p = cta.lane; p < LENGTH; p += 32)
        if (order[p] == token) place = p;
#pragma unroll
      for (int step = 16; step > 0; step >>= 1) place = max(place, __shfl_xor_sync(kAllLanes, place, step));
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        const int column = 2 * (cta.lane + 32 * i);
        if (column < MODEL)
          *reinterpret_cast<u32*>(a.out + ((i64)image * LENGTH + place) * MODEL + column) =
              pair_of(x[r][i][0], x[r][i][1]);
      }
    }
  }
  // Adds what arrived from so many multiprocessors, and a bias.
  template <int Members> __device__ __forceinline__ void add(const Cta& cta, const float (&bias)[kPairs][2]) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps;
      if (own >= kOwn) continue;
      const byte* from = cta.memory + cta.plan.received + own * kRow + cta.lane * 4;
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if (2 * (cta.lane + 32 * i) >= MODEL) continue;
        float low = bias[i][0], high = bias[i][1];
#pragma unroll
        for (int source = 0; source < Members; source++) {
          const u32 two = *reinterpret_cast<const u32*>(from + source * kOwn * kRow + i * 128);
          low += low_of(two), high += high_of(two);
        }
        x[r][i][0] += low, x[r][i][1] += high;
      }
    }
  }
  // Normalised, to so many of the cluster; the normalisation's weight and bias are part of the product that follows.
  template <int Members> __device__ __forceinline__ void send_normalized(const Cta& cta, float eps, int barrier) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int own = cta.warp + r * kWarps;
      if (own >= kOwn) continue;
      float mean = 0.0f, squares = 0.0f;
#pragma unroll
      for (int i = 0; i < kPairs; i++) mean += x[r][i][0] + x[r][i][1];
      mean = warp_sum(mean) * (1.0f / MODEL);
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if (2 * (cta.lane + 32 * i) >= MODEL) continue;
        const float low = x[r][i][0] - mean, high = x[r][i][1] - mean;
        squares += low * low + high * high;
      }
      const float scale = rsqrtf(warp_sum(squares) * (1.0f / MODEL) + eps);
      byte* to = cta.memory + cta.plan.outgoing + own * kRow;
#pragma unroll
      for (int i = 0; i < kPairs; i++)
        if (2 * (cta.lane + 32 * i) < MODEL)
          *reinterpret_cast<u32*>(to + (cta.lane + 32 * i) * 4) =
              pair_of((x[r][i][0] - mean) * scale, (x[r][i][1] - mean) * scale);
      written_for_copies();
      __syncwarp();
      if (cta.lane < Members)
        copy_to_rank(cta.rank / Members * Members + cta.lane,
                     cta.memory + cta.plan.tokens + (cta.rank * kOwn + own) * kRow, to, MODEL * kBytes16,
                     cta.barriers + barrier);
    }
  }
};
