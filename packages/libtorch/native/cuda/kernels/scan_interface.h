// What scan.cu and the host that launches it share: arguments, sizes of a thread's work, and shared memory.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::scan_kernel {

constexpr int kSegment = 16;  // steps between two checkpoints
constexpr int kChunk = 4;     // steps whose states the backward pass has in registers at a time
constexpr int kOwn = 8;       // states of a thread of the backward pass
constexpr int kMaxGroups = 4;
constexpr int kMaxSplit = 4;  // threads that share a channel in the forward pass, each with a multiple of 4 states
constexpr int kMaxStates = kOwn * kMaxGroups;  // of the backward pass

/** Threads that share a channel in the backward pass. */
MAMBA_PRUNE_BOTH constexpr int groups_of(int states) {
  return states <= kOwn ? 1 : states <= 2 * kOwn ? 2 : kMaxGroups;
}
/** States of a channel in a checkpoint: four are moved at once. */
MAMBA_PRUNE_BOTH constexpr int saved_states(int states) { return (states + 3) / 4 * 4; }

static_assert(kSegment % kChunk == 0, "a segment is whole chunks");
static_assert(kChunk % kMaxGroups == 0, "every thread of a channel takes as many steps of a chunk");
static_assert(kOwn % 4 == 0 && kOwn == 8, "states are moved four at a time, and summed by products of 8 columns");
static_assert(groups_of(kMaxStates) * kOwn == kMaxStates, "the groups hold all states");

/** @tparam T type of the elements, void on the host */
template <class T> struct ScanArgs {
  const T *u, *delta, *z, *B, *C;
  const float *A, *D, *bias, *initial;
  T* y;
  float *last, *checkpoints;
  // Elements from one time step to the next; a batch entry follows the other by `length` steps.
  int u_row, delta_row, z_row, b_row, c_row, y_row;
  // Results are written in columns [0, width); those from `channels` on are zero.
  int batch, length, channels, width;
  const float* scale;  // of the result, one number a batch entry, or null
};
MAMBA_PRUNE_CHECK_LAYOUT(ScanArgs<void>, 12 * 8 + 10 * 4 + 8);

/** Of a scan along the columns of a grid whose positions lie row by row. */
template <class T> struct ColumnScanArgs : ScanArgs<T> {
  int height, columns;
  unsigned inverse;  // of height, times 2^32, rounded up: t / height is the upper half of t * inverse
};
MAMBA_PRUNE_CHECK_LAYOUT(ColumnScanArgs<void>, sizeof(ScanArgs<void>) + 3 * 4 + kPadding);

/** @tparam T type of the elements, void on the host */
template <class T> struct ScanGrads {
  const T* dy;
  const float* dlast;
  T *du, *ddelta, *dz;
  // Partial sums: dbc [channel blocks, batch, length, 2 kOwn groups]; params
  // [batch groups, (states + 2) channels] with dA [channels, states], then dD, then dbias.
  float *dbc, *params, *dinitial;
  int dy_row, du_row, ddelta_row, dz_row;
  int batches_per_block;
};
MAMBA_PRUNE_CHECK_LAYOUT(ScanGrads<void>, 8 * 8 + 5 * 4 + kPadding);

/** Dynamic shared memory of a block of the backward pass. */
template <int Groups, int Threads> struct BackwardShared {
  float bc[kSegment][2 * kOwn * Groups];
  float sums[kSegment][Threads / 32][2 * 8 * kOwn];
  float saved[kSegment / kChunk][kOwn][Threads];  // states at the start of each chunk
};

}  // namespace mamba_prune::cuda::scan_kernel
