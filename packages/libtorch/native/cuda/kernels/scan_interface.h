// What scan.cu and the host that launches it share: arguments, sizes of a thread's work, and shared memory.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::scan_kernel {

constexpr int kSegment = 8;  // steps between two checkpoints, whose states the backward pass has in shared memory
constexpr int kStaged = 16;  // steps whose B and C the forward pass has in shared memory
constexpr int kOwn = 8;      // states of a thread of the backward pass
constexpr int kMaxGroups = 4;
constexpr int kTileStates = 16;  // of the backward pass in tiles
constexpr int kMaxSplit = 4;     // threads that share a channel in the forward pass, each with a multiple of 4 states
constexpr int kMaxStates = kOwn * kMaxGroups;  // of the backward pass

/** Threads that share a channel in the backward pass. */
MAMBA_PRUNE_BOTH constexpr int groups_of(int states) {
  return states <= kOwn ? 1 : states <= 2 * kOwn ? 2 : kMaxGroups;
}
/** States of a channel in a checkpoint: four are moved at once. */
MAMBA_PRUNE_BOTH constexpr int saved_states(int states) { return (states + 3) / 4 * 4; }

static_assert(kStaged % kSegment == 0, "checkpoints are left at the same steps of all that is staged");
static_assert(kOwn % 4 == 0 && kOwn == 8, "states are moved four at a time, and summed by products of 8 columns");
static_assert(groups_of(kMaxStates) * kOwn == kMaxStates, "the groups hold all states");

/** @tparam T type of the elements, void on the host */
template <class T> struct ScanArgs {
  const T *u, *delta, *z, *B, *C;
  const float *A, *D, *bias, *initial;
  T* y;
  float* last;
  void* checkpoints;  // float32 where the elements are, bfloat16 otherwise
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

/** What one direction has of its own, in the kernel that scans one or both and makes the step sizes. */
template <class T> struct ScanSide {
  const T *u, *projected, *dt_weight;  // projected: the numbers that dt_weight makes step sizes of, then B, then C
  const float *A, *D, *bias;
  T* delta;  // what it makes, and checkpoints, are written for a backward pass
  void* checkpoints;
};
template <class T> struct ScanOneArgs : ScanArgs<T> {
  ScanSide<T> side;
};
MAMBA_PRUNE_CHECK_LAYOUT(ScanOneArgs<void>, sizeof(ScanArgs<void>) + 8 * 8);
/** Of both directions, which add up: the second one begins at the sequence's end. */
template <class T> struct ScanBothArgs : ScanArgs<T> {
  ScanSide<T> side[2];
};
MAMBA_PRUNE_CHECK_LAYOUT(ScanBothArgs<void>, sizeof(ScanArgs<void>) + 16 * 8);

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
  float skip[Threads / Groups], bias[Threads / Groups];
  // What the lanes of a warp tell one another of a step of a channel: dt, u, the gradient of y before its gate.
  alignas(16) float steps[Threads / 32][kSegment][32 / Groups][4];
  // The state before each step, four numbers a lane. Behind a step that has been gone back over there are sums instead:
  // first those of dB and dC over lanes, then every lane's part of y and of the gradients of dt u and dt.
  alignas(16) float states[Threads / 32][kSegment][kOwn / 4][32][4];
};

/** Dynamic shared memory of a block of the backward pass in tiles. Rows are as long as keeps lanes in banks of their
 * own. */
template <int Threads> struct BackwardTilesShared {
  static constexpr int kStepRow = 20, kSumsRow = 36, kBcRow = 20;
  // Of a warp: the state before a step, [tile][lane], and of its channels dt, dt u, the gradient of y before its gate.
  struct alignas(16) Step {
    float states[2][32][4];
    float dt[kStepRow], x[kStepRow], dy[kStepRow];
  } steps[Threads / 32][kSegment];
  // Of a warp: what comes next, in 16 bits. Of u, delta, z and the gradient of y the rows of even steps come first, of
  // checkpoints the even channels.
  struct alignas(16) Rows {
    unsigned short inputs[4][kSegment][16], states[16][kTileStates];
  } rows[Threads / 32];
  // The gradients of B and C summed over a warp's channels, of two segments by turns.
  alignas(16) float sums[2][Threads / 32][kSegment][kSumsRow];
  alignas(16) unsigned bc[2][kSegment][kBcRow];  // B, then C, in pairs; of two segments by turns
};

}  // namespace mamba_prune::cuda::scan_kernel
