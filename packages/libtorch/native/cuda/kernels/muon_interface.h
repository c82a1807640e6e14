// What muon.cu and the host that launches it share.
#pragma once
#include "interface.h"

namespace mamba_prune::cuda::muon_kernel {

constexpr int kMostMatrices = 96;  // of a launch: its arguments are up to 4,096 bytes
constexpr int kThreads = 512;
constexpr int kTile = 16;                      // rows or columns of a tile of a product
constexpr int kWarpTiles = 3;                  // tiles of a warp each way, of which there are four warps each way
constexpr int kMost = kTile * 4 * kWarpTiles;  // of a product's rows, and of its columns at a time
// Behind a row in shared memory: rows are then an odd number of 16 bytes, so that eight of them meet in no bank.
constexpr int kGap = 8;

MAMBA_PRUNE_BOTH constexpr int padded(int size) { return (size + kTile - 1) / kTile * kTile; }
/** Of a matrix lying on its long side, and of a product with itself. */
MAMBA_PRUNE_BOTH constexpr int shared_bytes(int rows, int columns) {
  return 2 * padded(rows) * (padded(columns) + kGap + padded(rows) + kGap);
}

/** A parameter [rows, columns] with its gradient and the average of its gradients, all contiguous. */
struct Matrix {
  float *param, *buffer;
  const float* grad;
  int rows, columns;
  float factor;  // of the step
  int padding;
};
MAMBA_PRUNE_CHECK_LAYOUT(Matrix, 3 * 8 + 4 * 4);
struct MuonArgs {
  Matrix of[kMostMatrices];
  const float *rate, *skip;    // the learning rate; where `skip` is there and 1, nothing is to change
  float momentum, rest;        // rest: 1 - momentum
  float decay;                 // times the rate is what the parameters lose
  float least;                 // norm of a matrix
  float linear, cubic, fifth;  // coefficients of the iteration
  int steps;
};
MAMBA_PRUNE_CHECK_LAYOUT(MuonArgs, kMostMatrices * (3 * 8 + 4 * 4) + 2 * 8 + 8 * 4);

}  // namespace mamba_prune::cuda::muon_kernel
