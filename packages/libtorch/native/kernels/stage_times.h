// Where time goes, for `profileOperators` in TypeScript: every operator that libtorch's dispatcher calls, every node of
// autograd, and the stages within the operators of whole blocks. While nobody asks, a stage costs one relaxed load.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace mamba_prune {

namespace stage_times {

// How many threads take a profile.
extern std::atomic<int> asked;
void begin(const char* name);
void end();

struct Row {
  std::string name;
  int64_t calls;
  double ms;  // without what was called within
};

// From here on everything that this thread calls is timed. Throws std::logic_error if it is already.
void start();
// -> what was called since then.
std::vector<Row> stop();

}  // namespace stage_times

// The part of an operator between its construction and its destruction, by the clock of the thread that called it.
class StageTime {
 public:
  explicit StageTime(const char* name) : counts_(stage_times::asked.load(std::memory_order_relaxed) > 0) {
    if (counts_) stage_times::begin(name);
  }
  ~StageTime() {
    if (counts_) stage_times::end();
  }
  StageTime(const StageTime&) = delete;
  StageTime& operator=(const StageTime&) = delete;

 private:
  const bool counts_;
};

// Times that threads of a team took for the stages of a block, each on its own: `ms` are sums over `threads` of them.
// What threads waited for each other at the end stays with the operator.
void add_team_stages(const char* const* names, const double* ms, int count, int threads);

}  // namespace mamba_prune
