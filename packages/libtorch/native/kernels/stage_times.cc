// The record behind stage_times.h: a stack of what is running in the thread that asked.
#include "stage_times.h"

#include <ATen/record_function.h>

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>

namespace mamba_prune::stage_times {

std::atomic<int> asked{0};

namespace {

using Clock = std::chrono::steady_clock;
double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

struct Sum {
  int64_t calls = 0;
  double ms = 0;
};
struct Running {
  std::string name;
  Clock::time_point began;
  double within;  // ms of what it called
};
struct Record {
  std::vector<Running> stack;
  std::map<std::string, Sum> sums;
  at::CallbackHandle callback = 0;
};
// Of the thread that asked; none of the others'.
thread_local std::unique_ptr<Record> record;

void add(const std::string& name, int64_t calls, double ms) {
  Sum& sum = record->sums[name];
  sum.calls += calls, sum.ms += ms;
}

// Lives as long as an operator runs.
struct Observed : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> operator_began(const at::RecordFunction& function) {
  if (!record) return nullptr;
  begin(function.name());
  return std::make_unique<Observed>();
}
void operator_ended(const at::RecordFunction&, at::ObserverContext* context) {
  if (context) end();
}

}  // namespace

void begin(const char* name) {
  if (record) record->stack.push_back({name, Clock::now(), 0});
}

void end() {
  if (!record || record->stack.empty()) return;
  const Running done = std::move(record->stack.back());
  record->stack.pop_back();
  const double ms = ms_between(done.began, Clock::now());
  add(done.name, 1, ms - done.within);
  if (!record->stack.empty()) record->stack.back().within += ms;
}

void start() {
  if (record) throw std::logic_error("profileStart: a profile is being taken already. Stop it first.");
  record = std::make_unique<Record>();
  record->callback =
      at::addThreadLocalCallback(at::RecordFunctionCallback(operator_began, operator_ended)
                                     .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  asked.fetch_add(1, std::memory_order_relaxed);
}

std::vector<Row> stop() {
  if (!record) throw std::logic_error("profileStop: no profile is being taken. Start one first.");
  asked.fetch_sub(1, std::memory_order_relaxed);
  at::removeCallback(record->callback);
  std::vector<Row> rows;
  for (const auto& [name, sum] : record->sums) rows.push_back({name, sum.calls, sum.ms});
  record.reset();
  return rows;
}

}  // namespace mamba_prune::stage_times

namespace mamba_prune {

void add_team_stages(const char* const* names, const double* ms, int count, int threads) {
  using namespace stage_times;
  if (!record) return;
  for (int i = 0; i < count; i++) {
    if (ms[i] <= 0) continue;
    const double share = ms[i] / threads;
    add(names[i], 1, share);
    if (!record->stack.empty()) record->stack.back().within += share;
  }
}

}  // namespace mamba_prune
