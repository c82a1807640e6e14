// Memory of a whole block for inference, and its split over threads; the stages are in block_kernel.h.
#include "block_run.h"

#include <ATen/ATen.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "kernel_table.h"
#include "low_precision.h"
#include "scratch.h"
#include "stage_times.h"
#include "team_size.h"

namespace mamba_prune {
namespace {

using at::Tensor;

// Rows that a thread works on at a time when it has samples of its own: their intermediate results stay in L2, and
// a panel of weights, once packed, is used for all of them.
constexpr int64_t kRowsAtATime = 128;

// Working memory of the packed forms of a direction's parameters, one float array.
struct Packing {
  BlockPacked packed;
  int64_t total;
  Packing(const BlockSizes& s, int64_t tile) {
    packed.tiles = (s.inner + tile - 1) / tile;
    packed.padded = (s.inner + kConvBlock - 1) / kConvBlock * kConvBlock;
    total = packed.tiles * (s.states * tile + 1 + 2 * tile) + (s.taps + 1) * packed.padded;
  }
  BlockPacked in(float* at, const BlockSizes& s, int64_t tile) const {
    BlockPacked p = packed;
    p.A = at, p.A_peak = p.A + p.tiles * s.states * tile, p.skip = p.A_peak + p.tiles;
    p.dt_bias = p.skip + p.tiles * tile, p.conv_weight = p.dt_bias + p.tiles * tile,
    p.conv_bias = p.conv_weight + s.taps * p.padded;
    return p;
  }
};

int64_t multiply_adds(const BlockSizes& s) {
  return s.length *
         (s.model * 3 * s.inner + s.directions * s.inner * (2 * s.rank + 5 * s.states) + 2 * s.model * s.hidden);
}

auto forward_of(const BlockArgs& a) { return a.low ? low_blocks().block_forward : isa().block_forward; }

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What the stages take in all threads of a team together, if somebody asked (stage_times.h).
class TeamTimes {
 public:
  explicit TeamTimes(int threads) : threads_(threads), asks_(stage_times::asked.load(std::memory_order_relaxed) > 0) {}
  BlockClock clock() const { return {asks_ ? now_ms : nullptr}; }
  // Called by each thread when it is done.
  void add(const BlockClock& clock) {
    if (!asks_) return;
#pragma omp critical(mamba_prune_team_times)
    for (int i = 0; i < kStages; i++) ms_[i] += clock.ms[i];
  }
  ~TeamTimes() {
    if (asks_) add_team_stages(kBlockStages, ms_, kStages, threads_);
  }

 private:
  static constexpr int kStages = static_cast<int>(BlockStage::count);
  const int threads_;
  const bool asks_;
  double ms_[kStages] = {};
};

// All threads on all rows.
void run_together(BlockArgs a, int threads, int64_t scratch) {
  const BlockScratch layout(a.sizes, a.batch * a.sizes.length, a.low);
  const Tensor memory = at::empty({layout.total}, at::kFloat);
  a.buffers = layout.in(static_cast<float*>(memory.data_ptr()));
  const auto forward = forward_of(a);
  TeamTimes times(threads);
  if (threads == 1) {
    isa().block_pack(a, 0, 1);
    BlockClock clock = times.clock();
    forward(a, 0, 1, Scratch<float>(scratch).data(), clock);
    times.add(clock);
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const Scratch<float> own(scratch);
    BlockClock clock = times.clock();
    forward(a, omp_get_thread_num(), omp_get_num_threads(), own.data(), clock);
    times.add(clock);
  }
}

// Matrices that are not given in panels are transposed once, for all samples; each time that a thread turns to other
// ones would take up to a tenth of the products.
class Panels {
 public:
  explicit Panels(BlockArgs& a) {
    if (a.low) return;
    const BlockSizes& s = a.sizes;
    BlockWeights& w = a.weights;
    add(w.in_proj, 2 * s.inner, s.model), add(w.out_proj, s.model, s.inner);
    for (int64_t d = 0; d < s.directions; d++) add(w.scans[d].x_proj, s.rank + 2 * s.states, s.inner);
    if (s.hidden > 0) add(w.fc1_weight, s.hidden, s.model), add(w.fc2_weight, s.model, s.hidden);
    memory_ = at::empty({total_}, at::kFloat);
    for (Part& part : parts_) {
      part.packing.out = static_cast<float*>(memory_.data_ptr()) + part.at;
      part.matrix->panels = part.packing.out, part.matrix->panel_stride = isa().panel_stride(part.packing.depth);
    }
  }
  // Called by all threads of a team; ends with a barrier.
  void pack() const {
    for (const Part& part : parts_) {
#pragma omp for schedule(static) nowait
      for (int64_t index = 0; index < part.panels; index++) isa().pack_panels(part.packing, index, index + 1);
    }
#pragma omp barrier
  }

 private:
  struct Part {
    BlockMatrix* matrix;
    PanelPacking packing;
    int64_t panels, at;
  };
  std::vector<Part> parts_;
  int64_t total_ = 0;
  Tensor memory_;

  void add(BlockMatrix& matrix, int64_t columns, int64_t depth) {
    if (matrix.panels) return;
    const int64_t panels = (columns + isa().panel - 1) / isa().panel;
    parts_.push_back({&matrix, {matrix.plain, columns, depth, nullptr}, panels, total_});
    total_ += panels * isa().panel_stride(depth);
  }
};

// Where chunks of at most `samples` begin, and where the last one ends. They become smaller towards the end, so that
// threads of unequal speed, such as those that share a core with somebody else, are done at about the same time.
std::vector<int64_t> chunks_of(int64_t batch, int64_t samples, int threads) {
  std::vector<int64_t> firsts = {0};
  while (firsts.back() < batch) {
    const int64_t left = batch - firsts.back();
    firsts.push_back(firsts.back() + std::max<int64_t>(1, std::min(samples, left / threads)));
  }
  return firsts;
}

// Every thread on samples of its own.
void run_apart(BlockArgs a, int threads, int64_t scratch) {
  const BlockSizes& s = a.sizes;
  isa().block_pack(a, 0, 1);
  const Panels panels(a);
  const int64_t share = (a.batch + threads - 1) / threads;
  const int64_t samples = std::max<int64_t>(1, std::min(share, kRowsAtATime / std::max<int64_t>(1, s.length)));
  const std::vector<int64_t> firsts = chunks_of(a.batch, samples, threads);
  const int64_t chunks = static_cast<int64_t>(firsts.size()) - 1, row = s.length * s.model;
  const BlockScratch layout(s, samples * s.length, a.low);
  const Tensor memory = at::empty({threads * layout.total}, at::kFloat);
  float* const buffers = static_cast<float*>(memory.data_ptr());
  const auto forward = forward_of(a);
  TeamTimes times(threads);
#pragma omp parallel num_threads(threads)
  {
    BlockClock clock = times.clock();
    const Scratch<float> own(scratch);
    panels.pack();
    BlockArgs mine = a;
    mine.buffers = layout.in(buffers + omp_get_thread_num() * layout.total);
#pragma omp for schedule(dynamic) nowait
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
      const int64_t first = firsts[chunk];
      mine.batch = firsts[chunk + 1] - first;
      mine.x = a.x + first * row, mine.y = a.y + first * row;
      forward(mine, 0, 1, own.data(), clock);
    }
    times.add(clock);
  }
}

}  // namespace

void run_block(BlockArgs a) {
  const BlockSizes& s = a.sizes;
  const int64_t tile = kernels<float>().scan_tile;
  const Packing packing(s, tile);
  const Tensor packed = at::empty({s.directions * packing.total}, at::kFloat);
  float* memory = static_cast<float*>(packed.data_ptr());
  for (int64_t d = 0; d < s.directions; d++) a.packed[d] = packing.in(memory + d * packing.total, s, tile);
  const int64_t scratch = a.low ? low_block_scratch(s, tile)
                                : std::max({kPanelDepth * tile, scan_forward_scratch(s.states, tile), kConvBlock});
  const int threads = team_size(a.batch * multiply_adds(s));
  // In low precision more is gained from the cache: a thread alone takes samples one after the other whatever their
  // size.
  const bool fits = threads == 1 && (a.low ? a.batch == 1 : a.batch * s.length <= kRowsAtATime);
  if (a.batch < threads || fits) run_together(a, threads, scratch);
  else run_apart(a, threads, scratch);
}

}  // namespace mamba_prune
