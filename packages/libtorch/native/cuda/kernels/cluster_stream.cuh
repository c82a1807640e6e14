// The residual stream of the tokens that a multiprocessor keeps, in registers. A team of warps shares a token, each
// with as many of its columns.
#pragma once
#include "cluster_cta.cuh"

struct Moments {
  float mean, squares;  // of some numbers, and the sum of their squared distances from it
};

struct Stream {
  float x[kMine][kPairs][2];  // number i of a lane is of columns column(i) and 1 on
  int team, part;             // of the warp: its team, and its place in it
  Moments* moments;           // [kTeams][kTeam] in shared memory

  __device__ __forceinline__ int own(int r) const { return team + r * kTeams; }
  __device__ __forceinline__ bool has(int lane, int i) const { return lane + 32 * i < kTeamPairs; }
  __device__ __forceinline__ int column(int lane, int i) const { return 2 * (part * kTeamPairs + lane + 32 * i); }

  __device__ __forceinline__ void read(const Args& a, const Cta& cta, int image) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int token = cta.rank * kOwn + own(r);
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        x[r][i][0] = x[r][i][1] = 0.0f;
        if (own(r) >= kOwn || token >= LENGTH || !has(cta.lane, i)) continue;
        const u32 two =
            *reinterpret_cast<const u32*>(a.x + ((i64)image * LENGTH + token) * MODEL + column(cta.lane, i));
        x[r][i][0] = low_of(two), x[r][i][1] = high_of(two);
      }
    }
  }
  __device__ __forceinline__ void write(const Args& a, const Cta& cta, int image, const int* order) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      const int token = cta.rank * kOwn + own(r);
      if (own(r) >= kOwn || token >= LENGTH) continue;
      int place = 0;
      for (int p = cta.lane; p < LENGTH; p += 32)
        if (order[p] == token) place = p;
#pragma unroll
      for (int step = 16; step > 0; step >>= 1) place = max(place, __shfl_xor_sync(kAllLanes, place, step));
#pragma unroll
      for (int i = 0; i < kPairs; i++)
        if (has(cta.lane, i))
          *reinterpret_cast<u32*>(a.out + ((i64)image * LENGTH + place) * MODEL + column(cta.lane, i)) =
              pair(x[r][i][0], x[r][i][1]);
    }
  }
  // Adds what arrived from so many multiprocessors, and a bias.
  template <int Members> __device__ __forceinline__ void add(const Cta& cta, const float (&bias)[kPairs][2]) {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      if (own(r) >= kOwn) continue;
#pragma unroll
      for (int i = 0; i < kPairs; i++) {
        if (!has(cta.lane, i)) continue;
        const byte* from = cta.memory + cta.plan.received + own(r) * kRow + column(cta.lane, i) * 2;
        float low = bias[i][0], high = bias[i][1];
#pragma unroll
        for (int source = 0; source < Members; source++) {
          const u32 two = *reinterpret_cast<const u32*>(from + source * kOwn * kRow);
          low += low_of(two), high += high_of(two);
        }
        x[r][i][0] += low, x[r][i][1] += high;
      }
    }
  }
  // Of a token, over all of its team.
  __device__ __forceinline__ Moments moments_of(const float (&v)[kPairs][2], int lane) const {
    Moments m{0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < kPairs; i++)
      if (has(lane, i)) m.mean += v[i][0] + v[i][1];
    m.mean = warp_sum(m.mean) * (0.5f / kTeamPairs);
#pragma unroll
    for (int i = 0; i < kPairs; i++) {
      const float low = v[i][0] - m.mean, high = v[i][1] - m.mean;
      if (has(lane, i)) m.squares += low * low + high * high;
    }
    m.squares = warp_sum(m.squares);
    if (kTeam == 1) return m;
    // Twice between two uses: nobody writes for the next token what others still read.
    if (lane == 0) moments[team * kTeam + part] = m;
    team_sync(1 + team, 32 * kTeam);
    Moments parts[kTeam], all{0.0f, 0.0f};
#pragma unroll
    for (int i = 0; i < kTeam; i++) parts[i] = moments[team * kTeam + i], all.mean += parts[i].mean * (1.0f / kTeam);
#pragma unroll
    for (int i = 0; i < kTeam; i++) {
      const float away = parts[i].mean - all.mean;
      all.squares += parts[i].squares + away * away * (2 * kTeamPairs);
    }
    return all;
  }
  // Normalised, to so many of the cluster; the normalisation's weight and bias are part of the product that follows.
  template <int Members> __device__ __forceinline__ void send_normalized(const Cta& cta, float eps, int barrier) const {
#pragma unroll
    for (int r = 0; r < kMine; r++) {
      if (own(r) >= kOwn) continue;
      const Moments m = moments_of(x[r], cta.lane);
      const float scale = rsqrtf(m.squares * (1.0f / MODEL) + eps);
      byte* row = cta.memory + cta.plan.outgoing + own(r) * kRow;
#pragma unroll
      for (int i = 0; i < kPairs; i++)
        if (has(cta.lane, i))
          *reinterpret_cast<u32*>(row + column(cta.lane, i) * 2) =
              pair((x[r][i][0] - m.mean) * scale, (x[r][i][1] - m.mean) * scale);
      written_for_copies();
      if (kTeam == 1) __syncwarp();
      else team_sync(1 + team, 32 * kTeam);
      const int to = part + cta.lane * kTeam;
      if (to < Members)
        copy_to_rank(cta.rank / Members * Members + to,
                     cta.memory + cta.plan.tokens + (cta.rank * kOwn + own(r)) * kRow, row, MODEL * kBytes16,
                     cta.barriers + barrier);
    }
  }
};
