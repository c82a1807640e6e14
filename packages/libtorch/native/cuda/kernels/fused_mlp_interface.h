// What fused_mlp.cu and the host that packs its weights and launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::mlp_kernel {

constexpr int kTile = 64;                               // tokens of a warpgroup; rows or columns of a unit
constexpr int kBiasBytes = kTile * int{sizeof(float)};  // behind the numbers of a unit
constexpr int kAlignment = 1024;                        // of a unit in shared memory
constexpr int kWarpgroup = 128;                         // threads

/** The numbers of a unit, 64 times d_model of 16 bits. */
MAMBA_PRUNE_BOTH constexpr int number_bytes(int model) { return kTile * model * 2; }
/** A unit with its biases, up to where the next one begins. */
MAMBA_PRUNE_BOTH constexpr int unit_bytes(int model) {
  return (number_bytes(model) + kBiasBytes + kAlignment - 1) / kAlignment * kAlignment;
}
/** Threads of a block: the warpgroups that compute, and one that copies the weights. */
MAMBA_PRUNE_BOTH constexpr int threads_of(int groups) { return (groups + 1) * kWarpgroup; }

static_assert(kBiasBytes % 16 == 0, "what is copied at once is a multiple of 16 bytes");

/** @tparam T type of the elements, void on the host */
template <class T> struct MlpArgs {
  const T* x;  // [rows, MODEL]
  const unsigned char* units;
  const float* bias;  // fc2's [MODEL]
  T *out, *next;      // [rows, MODEL], [rows, next_width]
  int rows, neuron_units, next_units, next_width;
  float eps;
};
MAMBA_PRUNE_CHECK_LAYOUT(MlpArgs<void>, 5 * 8 + 5 * 4 + kPadding);

}  // namespace mamba_prune::cuda::mlp_kernel
