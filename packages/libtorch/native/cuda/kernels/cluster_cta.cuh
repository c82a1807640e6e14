// One multiprocessor of a cluster: its constants, where things lie in its memory, what it sends to the others, and its
// matrix products. Defined by the caller: what cluster_blocks.cu names.
#pragma once
#include "cluster_interface.h"
#include "cluster_ops.cuh"

using namespace mamba_prune::cuda::cluster_kernel;
using Args = ClusterArgs<scalar>;
typedef unsigned char byte;

constexpr int kWarps = kThreads / 32;
constexpr Plan kSizes = plan_of(LENGTH, MODEL, CLUSTER, GROUPS, 8, 16);  // only what does not depend on the slices
constexpr int kRows = kSizes.rows, kTiles = kRows / 16, kOwn = kSizes.own;
constexpr int kRow = row_bytes(MODEL);
constexpr int kGroup = CLUSTER / GROUPS;  // multiprocessors of a group
constexpr int kGroupTiles = GROUPS == 1 ? kTiles : kOwn * kGroup / 16;
constexpr int kMlpTiles = kGroupTiles > 1 ? 2 : 1;  // of a warp in fc2: more of them read the weights less often
static_assert(GROUPS == 1 || kOwn * CLUSTER == kRows && kOwn * kGroup % 16 == 0, "a group has whole tiles of tokens");
// Warps that share a token of the residual stream, and tokens of such a team.
constexpr int kTeam = kOwn * 4 <= kWarps ? 4 : kOwn * 2 <= kWarps ? 2 : 1, kTeams = kWarps / kTeam;
constexpr int kMine = (kOwn + kTeams - 1) / kTeams;
constexpr int kTeamPairs = MODEL / 2 / kTeam;   // numbers of a token in a warp, by twos
constexpr int kPairs = (kTeamPairs + 31) / 32;  // and in a lane
enum { kGathered, kGroupGathered, kArrived, kSsmWeights, kMlpWeights, kBarriers };

template <class T> __device__ __forceinline__ T& in(byte* memory, int offset) {
  return *reinterpret_cast<T*>(memory + offset);
}

// Why what is copied from or to may be written again:
//
// `tokens`: all rows come after everybody's sums of out_proj (or, of a group, of fc2), which were made of the rows
// before. The next block's rows may come while another group still computes its MLP: they are not those of the group
// that reads here, and kGroupGathered does not count them.
//
// `received`: who sends here has the rows that this multiprocessor sent after it had added up what it received before.
//
// `partial`: everybody's rows have come since, and each was sent after its sender had received the sums. The MLP of
// several groups has a buffer of its own, because there the rows of a group alone have come since.
//
// `outgoing` and `sums`: everybody has sent sums since, made of the rows that were copied from here.
struct Cta {
  byte* memory;
  u64* barriers;
  Plan plan;
  u32 rank, gathered, arrived;  // the last two are the parities of what comes next
  int warp, lane;

  // Rows of all tokens; the next time so many bytes come.
  __device__ __forceinline__ void wait_gathered(u32 next) {
    barrier_wait(barriers + kGathered, gathered);
    gathered ^= 1;
    if (threadIdx.x == 0) barrier_expect(barriers + kGathered, next);
  }
  // Of the group's tokens, for the MLP of block i.
  __device__ __forceinline__ void wait_group_gathered(int i, u32 next) {
    barrier_wait(barriers + kGroupGathered, i & 1);
    if (threadIdx.x == 0) barrier_expect(barriers + kGroupGathered, next);
  }
  __device__ __forceinline__ void wait_arrived(u32 next) {
    barrier_wait(barriers + kArrived, arrived);
    arrived ^= 1;
    if (threadIdx.x == 0) barrier_expect(barriers + kArrived, next);
  }
  // Partial sums of the tokens of `Members` multiprocessors, in rows of so many bytes, to who keeps them.
  template <int Members> __device__ __forceinline__ void send_partial(int from, int row) {
    written_for_copies();
    __syncthreads();
    // A warp issues its lanes' copies one after another, so each issues few.
    const int to = warp + lane * kWarps;
    if (to < Members)
      copy_to_rank(rank / Members * Members + to, memory + plan.received + rank % Members * kOwn * row,
                   memory + from + to * kOwn * row, kOwn * row, barriers + kArrived);
  }
};

// `Tiles` times 16 rows of the left operand lie `stride` apart, in the order of row_of; the right one is `tiles` times
// `steps` fragments. store(row, column, two numbers). A warp takes M tiles of 16 rows times N of 8 columns at a time.
template <int Tiles, int M, int N, class RowOf, class Store>
__device__ __forceinline__ void product(const Cta& cta, const byte* left, int stride, RowOf row_of, int steps,
                                        const byte* right, int tiles, Store store) {
  constexpr int kParts = (Tiles + M - 1) / M;
  const int tasks = kParts * ((tiles + N - 1) / N), lane = cta.lane;
  for (int task = cta.warp; task < tasks; task += kWarps) {
    const int m0 = task % kParts * M, n0 = task / kParts * N;
    const byte *a_from[M], *b_from[N];
#pragma unroll
    for (int m = 0; m < M; m++)
      a_from[m] = left + row_of(min(m0 + m, Tiles - 1) * 16 + lane % 16) * stride + lane / 16 * 16;
#pragma unroll
    for (int n = 0; n < N; n++) b_from[n] = right + min(n0 + n, tiles - 1) * steps * 256 + lane * 8;
    float sum[M][N][4];
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sum[m][n][i] = 0.0f;
#pragma unroll 4
    for (int k = 0; k < steps; k++) {
      u32 a[M][4];
      uint2 b[N];
#pragma unroll
      for (int m = 0; m < M; m++) load_tile(a[m], a_from[m] + k * 32);
#pragma unroll
      for (int n = 0; n < N; n++) b[n] = *reinterpret_cast<const uint2*>(b_from[n] + k * 256);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++) multiply(sum[m][n], a[m], b[n]);
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
      for (int n = 0; n < N; n++) {
        if (m0 + m >= Tiles || n0 + n >= tiles) continue;
        const int row = (m0 + m) * 16 + lane / 4, column = (n0 + n) * 8 + lane % 4 * 2;
        store(row, column, sum[m][n][0], sum[m][n][1]);
        store(row + 8, column, sum[m][n][2], sum[m][n][3]);
      }
  }
}

struct InOrder {
  __device__ __forceinline__ int operator()(int row) const { return row; }
};
