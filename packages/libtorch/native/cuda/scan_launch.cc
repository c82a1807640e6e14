// The selective scan on CUDA: the launches of scan.cu and scan_backward_tiles.cu.
#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "kernel.h"
#include "kernels/reduce_interface.h"
#include "kernels/scan_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "scan_args.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;

using scan_kernel::kMaxStates;
using scan_kernel::kOwn;
using scan_kernel::kSegment;
// On the host the type of the elements is not known.
using ScanArgs = scan_kernel::ScanArgs<void>;
using ScanGrads = scan_kernel::ScanGrads<void>;

constexpr unsigned kForwardThreads = 64, kBackwardThreads = 128;
constexpr int64_t kBackwardBlocks = 4, kTileBlocks = 3;  // of a multiprocessor, in lanes and in tiles

// Whether u, delta and what is theirs have one row stride, and z and dz another: the kernels then compute fewer
// addresses.
bool same_rows(const Scan& s, const Tensor& dy, const ScanGradients& g) {
  const int first = row(s.u);
  for (const Tensor& t : {s.delta, dy, g.du, g.ddelta})
    if (row(t) != first) return false;
  return row(s.z) == row(g.dz);
}

// In a single row or column both orders are one.
bool by_columns(const Scan& s) { return s.height > 1 && s.height < s.u.size(1); }

scan_kernel::ColumnScanArgs<void> column_args_of(const Scan& s, const ScanArgs& a) {
  // The product by the inverse is exact for numerators below 2^32 / height.
  TORCH_CHECK(s.u.size(1) * s.height < (int64_t{1} << 31), "selective_scan: got a grid of ", s.u.size(1),
              " positions with ", s.height, " rows, expected their product below 2^31 on a GPU.");
  scan_kernel::ColumnScanArgs<void> all{};
  static_cast<ScanArgs&>(all) = a;
  all.height = static_cast<int>(s.height), all.columns = static_cast<int>(s.u.size(1) / s.height);
  all.inverse = static_cast<unsigned>(((int64_t{1} << 32) + s.height - 1) / s.height);
  return all;
}

int64_t backward_shared_bytes(int64_t groups) {
  using namespace scan_kernel;
  constexpr int threads = kBackwardThreads;
  switch (groups) {
    case 1: return sizeof(BackwardShared<1, threads>);
    case 2: return sizeof(BackwardShared<2, threads>);
    default: return sizeof(BackwardShared<kMaxGroups, threads>);
  }
}

constexpr unsigned kTilesShared = sizeof(scan_kernel::BackwardTilesShared<kBackwardThreads>);

// How the sequences of a backward pass are divided: `per` a block, of which `resident` are on a multiprocessor.
struct BackwardWork {
  int64_t per, resident;
};
// What a sequence takes with so many blocks on a multiprocessor, in microseconds of an H200: those of 2 to 4 were
// measured for tiles and 64 steps, that of 1 was guessed. Only their ratios matter.
constexpr int64_t kSequenceTime[] = {0, 17, 28, 39, 52};

// Blocks come in waves, of which the last may be small: then fewer sequences a block, of which more are even.
int64_t backward_time(int64_t blocks, const BackwardWork& work) {
  const int64_t wave = work.resident * multiprocessors(), rest = ceil_div(blocks % wave, multiprocessors());
  return work.per * (blocks / wave * kSequenceTime[work.resident] + kSequenceTime[rest]);
}

/** @param blocks that share the channels of a sequence */
BackwardWork backward_work(int64_t blocks, int64_t batch, bool tiles) {
  const int64_t resident = tiles ? kTileBlocks : kBackwardBlocks, all = blocks * std::max<int64_t>(batch, 1);
  // Several sequences a block where there are many: fewer partial sums of the parameters' gradients. The blocks still
  // fill the GPU twice, so that who is done early goes on.
  const int64_t most = std::max<int64_t>(1, ceil_div(all, int64_t{2} * resident * multiprocessors()));
  const auto time = [&](int64_t per) {
    return backward_time(blocks * ceil_div(std::max<int64_t>(batch, 1), per), {per, resident});
  };
  int64_t best = most;
  for (int64_t per = most - 1; per >= 1; per--)
    if (time(per) < time(best)) best = per;
  return {best, resident};
}

// Whether the tensor cores' kernel takes the backward pass: it moves eight numbers of a row at once, and two of B or C,
// and is meant for multiprocessors whose shared memory holds as many blocks as their registers do.
bool backward_in_tiles(const Scan& s, const Tensor& dy, const ScanGradients& out) {
  const cudaDeviceProp& device = *at::cuda::getCurrentDeviceProperties();
  return s.u.scalar_type() == at::kBFloat16 && s.A.size(1) == scan_kernel::kTileStates &&
         device.sharedMemPerMultiprocessor >= kTileBlocks * (kTilesShared + device.reservedSharedMemPerBlock) &&
         vector_of({s.u, s.delta, s.z, dy, out.du, out.ddelta, out.dz}, out.du.size(-1), 8) == 8 &&
         vector_of({s.B, s.C}, scan_kernel::kTileStates) == 2;
}

}  // namespace

scan_kernel::ScanArgs<void> scan_args_of(const Scan& s) {
  ScanArgs a{};
  a.u = pointer(s.u), a.delta = pointer(s.delta), a.z = pointer(s.z), a.B = pointer(s.B), a.C = pointer(s.C);
  a.A = float_pointer(s.A), a.D = float_pointer(s.D), a.bias = float_pointer(s.bias),
  a.initial = float_pointer(s.initial);
  a.scale = float_pointer(s.scale);
  a.u_row = row(s.u), a.delta_row = row(s.delta), a.z_row = row(s.z), a.b_row = row(s.B), a.c_row = row(s.C);
  a.batch = static_cast<int>(s.u.size(0)), a.length = static_cast<int>(s.u.size(1)),
  a.channels = static_cast<int>(s.channels);
  return a;
}

Defines scan_defines_of(const Scan& s, const Defines& own) {
  Defines all = {{"SCALAR", scalar_code(s.u.scalar_type())},
                 {"REVERSE", s.reverse},
                 {"HAS_Z", s.z.defined()},
                 {"HAS_D", s.D.defined()},
                 {"HAS_BIAS", s.bias.defined()},
                 {"SOFTPLUS", s.softplus},
                 {"A_LOG", s.a_is_log}};
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

Tensor scan_checkpoints(const Scan& s) {
  const int64_t segments = ceil_div(s.u.size(1), kSegment);
  return at::empty({s.u.size(0), segments - 1, s.channels, scan_kernel::saved_states(static_cast<int>(s.A.size(1)))},
                   s.u.options().dtype(s.u.scalar_type() == at::kFloat ? at::kFloat : at::kBFloat16));
}

namespace {
// Of the passes that take any number of states, and grids column by column.
Defines general_defines_of(const Scan& s, Defines own) {
  own.push_back({"N", s.A.size(1)}), own.push_back({"COLUMNS", by_columns(s)});
  return scan_defines_of(s, own);
}

// Threads that share a channel in the forward pass: where there are few channels and sequences, more of them keep the
// multiprocessors busy; where there are many, what they tell each other costs more than it gains.
int64_t forward_split(int64_t channels, int64_t batch, int64_t states) {
  const int64_t enough = int64_t{8} * 32 * multiprocessors();
  int64_t split = 1;
  while (split < scan_kernel::kMaxSplit && channels * batch * split < enough &&
         scan_kernel::saved_states(static_cast<int>(states)) % (8 * split) == 0)
    split *= 2;
  return split;
}
}  // namespace

void scan_forward(const Scan& s, const Tensor& y, bool add, const Tensor& last, const Tensor& checkpoints) {
  if (s.u.size(0) == 0) return;
  TORCH_CHECK(s.u.size(0) <= 65535, "selective_scan: got a batch of ", s.u.size(0),
              ", expected at most 65535 on a GPU. Split it.");
  ScanArgs a = scan_args_of(s);
  a.y = pointer(y), a.y_row = row(y), a.width = static_cast<int>(y.size(-1));
  a.last = float_pointer(last), a.checkpoints = pointer(checkpoints);
  const int64_t states = s.A.size(1), split = forward_split(a.width, a.batch, states);
  // Registers decide how many blocks fit: more states take more of them.
  const Kernel& kernel = find_kernel("scan.cu", "scan_forward",
                                     general_defines_of(s, {{"WHOLE_SEGMENTS", a.length % scan_kernel::kStaged == 0},
                                                            {"SAVE", checkpoints.defined()},
                                                            {"ADD_Y", add},
                                                            {"SPLIT", split},
                                                            {"FORWARD_THREADS", kForwardThreads},
                                                            {"FORWARD_BLOCKS", states <= 16   ? 8
                                                                               : states <= 40 ? 5
                                                                                              : 4}}));
  const Grid grid{u32(ceil_div(a.width * split, kForwardThreads)), u32(a.batch)};
  if (by_columns(s)) kernel.launch(grid, kForwardThreads, 0, column_args_of(s, a));
  else kernel.launch(grid, kForwardThreads, 0, a);
}

void scan_backward(const Scan& s, const Tensor& dy, const Tensor& dlast, const Tensor& checkpoints, bool add_dz,
                   bool want_dinitial, ScanGradients& out) {
  const int64_t states = s.A.size(1), groups = scan_kernel::groups_of(static_cast<int>(states)), batch = s.u.size(0),
                length = s.u.size(1);
  TORCH_CHECK(states <= kMaxStates, "selective_scan: got ", states, " states, expected at most ", kMaxStates,
              " for gradients on a GPU. Prune the states, or use the CPU.");
  const bool tiles = batch > 0 && backward_in_tiles(s, dy, out);
  const int64_t width = out.du.size(-1), channels_per_block = kBackwardThreads / groups;
  const int64_t blocks = ceil_div(width, channels_per_block);
  const auto [per, resident] = backward_work(blocks, batch, tiles);
  const int64_t rows = ceil_div(std::max<int64_t>(batch, 1), per);
  out.padded = kOwn * groups;
  out.states = at::empty({blocks, batch, length, 2 * out.padded}, floats(s.u));
  const Tensor partial = at::empty({rows, (states + 2) * s.channels}, floats(s.u));
  if (want_dinitial) out.dinitial = at::empty({batch, s.channels, states}, floats(s.u));
  if (batch == 0) partial.zero_();
  else {
    ScanArgs a = scan_args_of(s);
    a.checkpoints = pointer(checkpoints), a.width = static_cast<int>(width);
    ScanGrads g{};
    g.dy = pointer(dy), g.du = pointer(out.du), g.ddelta = pointer(out.ddelta), g.dz = pointer(out.dz);
    g.dlast = float_pointer(dlast), g.dbc = float_pointer(out.states), g.params = float_pointer(partial);
    g.dinitial = float_pointer(out.dinitial);
    g.dy_row = row(dy), g.du_row = row(out.du), g.ddelta_row = row(out.ddelta), g.dz_row = row(out.dz);
    g.batches_per_block = static_cast<int>(per);
    Defines own = {{"WHOLE_SEGMENTS", length % kSegment == 0},
                   {"ADD_DU", out.add_du},
                   {"ADD_DZ", add_dz},
                   {"SAME_ROWS", same_rows(s, dy, out)},
                   {"BACKWARD_THREADS", kBackwardThreads},
                   {"BACKWARD_BLOCKS", resident}};
    if (!tiles) own.push_back({"VECTOR", vector_of({s.u, s.delta, s.z, dy, out.du, out.ddelta, out.dz}, width)});
    const Kernel& kernel =
        tiles ? find_kernel("scan_backward_tiles.cu", "scan_backward_tiles", general_defines_of(s, own))
              : find_kernel("scan.cu", "scan_backward", general_defines_of(s, own));
    const unsigned bytes = tiles ? kTilesShared : u32(backward_shared_bytes(groups));
    const Grid grid{u32(blocks), u32(rows)};
    if (by_columns(s)) kernel.launch(grid, kBackwardThreads, bytes, column_args_of(s, a), g);
    else kernel.launch(grid, kBackwardThreads, bytes, a, g);
  }
  const Tensor sums = reduce_rows(partial);
  const int64_t n = s.channels * states;
  out.dA = sums.narrow(0, 0, n).view({s.channels, states});
  out.dD = sums.narrow(0, n, s.channels), out.dbias = sums.narrow(0, n + s.channels, s.channels);
}

void reduce_states(const ScanGradients& g, int64_t states, const Tensor& out, int64_t offset) {
  const Mat to = mat(out);
  if (to.rows == 0) return;
  const Kernel& kernel = find_kernel("reduce.cu", "reduce_states", {{"SCALAR", scalar_code(out.scalar_type())}});
  const int64_t columns = to.columns - offset;
  reduce_kernel::StatesArgs<void> a{};
  a.partial = float_pointer(g.states), a.out = pointer(out);
  a.blocks = static_cast<int>(g.states.size(0)), a.rows = static_cast<int>(to.rows),
  a.padded = static_cast<int>(g.padded);
  a.states = static_cast<int>(states), a.offset = static_cast<int>(offset);
  a.width = static_cast<int>(to.columns), a.row_stride = static_cast<int>(to.stride);
  constexpr int threads = reduce_kernel::kStatesThreads;
  kernel.launch({u32(ceil_div(to.rows * columns, threads))}, threads, 0, a);
}

}  // namespace mamba_prune::cuda
