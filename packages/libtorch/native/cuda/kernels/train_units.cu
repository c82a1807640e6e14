// The weights of many branches in the order in which the kernels that train read them (in_proj_train.cu, mlp_train.cu,
// projections.cu), in one launch: once a step rather than at every use.
//
// Defined by the caller: what warpgroup.cuh says, though there is no ring.
#include "items.cuh"
#include "train_units_interface.h"
#include "norm_tile.cuh"

using namespace mamba_prune::cuda::train_units_kernel;
namespace proj = mamba_prune::cuda::proj_kernel;

// All of a block's share of `count` numbers.
template <class Work> __device__ __forceinline__ void for_share(int share, int count, const Work& work) {
  const int of_share = (count + kShares - 1) / kShares, end = min(count, (share + 1) * of_share);
#pragma unroll 8
  for (int i = share * of_share + threadIdx.x; i < end; i += kThreads) work(i);
}

// `width` rows of in_proj, 64 a unit.
__device__ __forceinline__ void pack_in_proj(const Item<scalar>& p, int unit, int share) {
  scalar* to = reinterpret_cast<scalar*>(p.to + (i64)unit * kStride);
  for_share(share, mlp::kTile * MODEL, [&](int i) {
    const int row = unit * mlp::kTile + column_of(unit_row(i));
    to[i] = row < p.width ? p.first[(i64)row * MODEL + column_of(unit_column(i))] : scalar{};
  });
}

// 64 rows of fc1, then the same of fc2 transposed; biases behind the numbers of the former.
__device__ __forceinline__ void pack_mlp(const Item<scalar>& p, int unit, int share) {
  unsigned char* at = p.to + (i64)unit * kStride;
  scalar* to = reinterpret_cast<scalar*>(at);
  const int first = unit / 2 * mlp::kTile;
  const bool second = unit % 2 == 1;
  for_share(share, mlp::kTile * MODEL, [&](int i) {
    const int neuron = first + column_of(unit_row(i)), column = column_of(unit_column(i));
    const scalar* from = second ? p.second + (i64)column * p.width + neuron : p.first + (i64)neuron * MODEL + column;
    to[i] = neuron < p.width ? *from : scalar{};
  });
  for_share(share, mlp::kTile, [&](int i) {
    const int neuron = first + column_of(i);
    reinterpret_cast<float*>(at + kUnit)[i] = !second && neuron < p.neurons ? p.bias[neuron] : 0.0f;
  });
}

// 64 channels of both projections: a row for each column of x_proj's result, or for each of dt_proj's rank.
__device__ __forceinline__ void pack_projections(const Item<scalar>& p, int panel, int share) {
  const int panels = (p.width + proj::kTile - 1) / proj::kTile;
  scalar* all = reinterpret_cast<scalar*>(p.to);
  for_share(share, (proj::kColumns + proj::kRank) * proj::kTile, [&](int i) {
    const bool dt = i >= proj::kColumns * proj::kTile;
    const int at = dt ? i - proj::kColumns * proj::kTile : i, row = at / proj::kTile, place = at % proj::kTile;
    const int channel = panel * proj::kTile + column_of(((place / 8) ^ (row % 8)) * 8 + place % 8);
    scalar* to = dt ? all + (panels * proj::kColumns + panel * proj::kRank) * proj::kTile
                    : all + panel * proj::kColumns * proj::kTile;
    const scalar* from = dt ? p.second + (i64)channel * proj::kRank + row : p.first + (i64)row * p.width + channel;
    to[at] = channel < p.width ? *from : scalar{};
  });
}

extern "C" __global__ void __launch_bounds__(kThreads) train_units(const __grid_constant__ ItemsArgs<scalar> a) {
  const Item<scalar>& p = item_of(a);
  const int index = blockIdx.x - p.first_block, unit = index / kShares, share = index % kShares;
  if (p.kind == kInProj) pack_in_proj(p, unit, share);
  else if (p.kind == kMlp) pack_mlp(p, unit, share);
  else pack_projections(p, unit, share);
}
