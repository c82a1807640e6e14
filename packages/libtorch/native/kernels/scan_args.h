// Plain-data arguments of the selective scan kernels: no torch headers, shared by all instruction sets.
#pragma once
#include <cstdint>

namespace mamba_prune {

// Time steps per chunk. The backward pass keeps the state of every step of one chunk in cache and
// restarts each chunk from a stored state. 32 steps of a 32-channel tile (AVX-512) with 16 states are 128 KB, which the
// second-level cache holds; with 16 of them the backward pass took 10% longer, with 8 a third.
constexpr int64_t kScanChunk = 32;

constexpr int64_t scan_chunks(int64_t length) { return (length + kScanChunk - 1) / kScanChunk; }

// A [batch, length, row] array with contiguous rows and arbitrary outer strides (in elements).
template <class T> struct Rows {
  T* data = nullptr;
  int64_t batch_stride = 0;
  int64_t step_stride = 0;
  T* at(int64_t batch, int64_t step) const { return data + batch * batch_stride + step * step_stride; }
};

// Channels are processed in tiles (two registers wide). "Packed" arrays are [tiles, rows, tile], zero
// beyond the last channel, so that kernels need masks only on the caller's tensors.
template <class T> struct ScanInputs {
  int64_t batch, length, channels, states, tiles;
  Rows<const T> u, delta, z, B, C;  // z.data may be null
  const T* A;                       // packed [tiles, states, tile], A * log2(e)
  const T* A_peak;                  // [tiles], largest |A * log2(e)| of each tile
  const T* skip;                    // D, packed [tiles, tile]
  const T* delta_bias;              // packed [tiles, tile]
  bool softplus;
  const T* initial;  // [batch, channels, states] or null
  // Where step t lies in the arrays of steps; null for t itself.
  const int32_t* order = nullptr;
  // Whether the output (backward: the gradient of u) is added to what is there.
  bool adds = false;
  int64_t place(int64_t step) const { return order ? order[step] : step; }
};

template <class T> struct ScanForward : ScanInputs<T> {
  T* y;            // [batch, length, channels]
  T* last;         // [batch, channels, states] or null
  T* checkpoints;  // [batch, tiles, chunks - 1, states, tile]: the state before each chunk but the first; or null
  T sum_scale;     // SecondTile's: of the sum with what y holds
};

// One task of the backward pass is a group of tiles times a slice of the batch; it alone writes its
// row of the partial sums. Groups and slices depend on the problem only, never on the thread count.
template <class T> struct ScanBackward : ScanInputs<T> {
  int64_t groups, slices;
  int64_t group;           // of the running task; set by the kernel in its own copy
  const T* checkpoints;    // as written by the forward pass; may be null if there is one chunk
  Rows<const T> grad_y;    // data may be null
  const T* grad_last;      // [batch, channels, states] or null
  T *grad_u, *grad_delta;  // [batch, length, channels]
  Rows<T> grad_z;          // data is null without z
  T *grad_B, *grad_C;      // partial sums [groups, batch, length, states]
  T* grad_rows;            // partial sums [slices, tiles, states + 2, tile]: A, then D, then delta_bias
  T* grad_initial;         // [batch, channels, states] or null
};

// Scratch elements one thread needs.
constexpr int64_t scan_forward_scratch(int64_t states, int64_t tile) {
  // step sizes, inputs and gates of a chunk, states, decays of a step
  return (3 * kScanChunk + 2 * states) * tile;
}
constexpr int64_t scan_backward_scratch(int64_t states, int64_t tile) {
  // history (decay and states), five rows a step, the state before, adjoint, dA/dD/dbias, rows to be summed
  return tile * (2 * kScanChunk * states + 5 * kScanChunk + 3 * states + 2 + 2 * (states + tile));
}

}  // namespace mamba_prune
