#include "bindings/distributed.h"

namespace mamba_prune {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kInterval{400};
// After an alarm. A thread that only sleeps and sends is not late by so much on a busy machine.
constexpr milliseconds kShortSilence{2500};
constexpr milliseconds kLinger{3000};

std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

struct Monitor::Impl {
  struct Peer {
    std::string state;
    Clock::time_point changed = Clock::now();
    bool closed = false;
  };

  explicit Impl(MonitorOptions given) : options(std::move(given)), peers(options.size) {}

  const MonitorOptions options;
  std::vector<Peer> peers;
  c10::intrusive_ptr<c10d::Store> store;
  std::thread thread;

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Verdict> verdict;
  Clock::time_point ticked = Clock::now();
  std::optional<Clock::time_point> stale_since;
  std::string last_state;      // set when the thread has to end
  milliseconds linger{0};      // and how long it may wait for the others then
  bool stopping = false;
  bool ended = false;
  std::atomic<bool> alarmed{false};
  bool alarm_told = false;

  std::string read(const std::string& key) {
    if (!store->check({key})) return "";
    const std::vector<uint8_t> value = store->get(key);
    return {value.begin(), value.end()};
  }

  void write(const std::string& key, const std::string& value) { store->set(key, bytes(value)); }

  static std::string state_key(int rank) { return "state/" + std::to_string(rank); }

  milliseconds silence() const { return alarmed ? std::min(kShortSilence, options.silence) : options.silence; }

  void condemn(int rank, const std::string& reason) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!verdict) verdict = Verdict{rank, reason};
  }

  bool has_verdict() {
    std::lock_guard<std::mutex> lock(mutex);
    return verdict.has_value();
  }

  // Reads a worker's heartbeat and judges it.
  void look_at(int rank) {
    Peer& peer = peers[rank];
    if (peer.closed) return;
    std::string state = read(state_key(rank));
    const auto now = Clock::now();
    if (state != peer.state) {
      peer.state = std::move(state);
      peer.changed = now;
    }
    if (peer.state == "closed") {
      peer.closed = true;
    } else if (peer.state.rfind("failed ", 0) == 0) {
      peer.closed = true;
      condemn(rank, "rank " + std::to_string(rank) + " failed: " + peer.state.substr(7));
    } else if (now - peer.changed > silence()) {
      peer.closed = true;
      condemn(rank, "rank " + std::to_string(rank) + " is gone: its process was killed, or its machine cannot be reached");
    }
  }

  void tick(int64_t count) {
    const auto now = Clock::now();
    // Stopped and continued (a suspended job): the others probably were too.
    if (now - ticked > 4 * kInterval) {
      for (Peer& peer : peers) peer.changed = now;
    }
    write(state_key(options.rank), "alive " + std::to_string(count));
    if (alarmed && !alarm_told) {
      write("alarm", "1");
      alarm_told = true;
    } else if (!alarmed && !read("alarm").empty()) {
      alarmed = alarm_told = true;
    }
    const std::string published = read("verdict");
    if (!published.empty()) {
      condemn(std::stoi(first_line(published)), published.substr(published.find('\n') + 1));
    } else if (options.rank == 0) {
      for (int rank = 1; rank < options.size; ++rank) look_at(rank);
      publish();
    } else {
      look_at(0);
    }
    std::lock_guard<std::mutex> lock(mutex);
    ticked = Clock::now();
  }

  void publish() {
    std::optional<Verdict> found;
    {
      std::lock_guard<std::mutex> lock(mutex);
      found = verdict;
    }
    if (found) write("verdict", std::to_string(found->rank) + "\n" + found->reason);
  }

  // All others know, or are gone.
  bool all_closed() {
    for (int rank = 0; rank < options.size; ++rank) {
      if (rank == options.rank || peers[rank].closed) continue;
      const std::string state = read(state_key(rank));
      if (state == "closed" || state.rfind("failed ", 0) == 0) peers[rank].closed = true;
      else return false;
    }
    return true;
  }
};

Monitor::Monitor(MonitorOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {
  Impl& self = *impl_;
  c10d::TCPStoreOptions client;
  client.port = self.options.port;
  client.waitWorkers = false;
  client.timeout = std::chrono::seconds(20);
  auto tcp = c10::make_intrusive<c10d::TCPStore>(self.options.host, client);
  self.store = c10::make_intrusive<c10d::PrefixStore>(self.options.prefix, std::move(tcp));
  self.thread = std::thread([shared = impl_] { run(*shared); });
}

Monitor::~Monitor() { stop("closed", milliseconds(0)); }

void Monitor::run(Impl& self) {
  try {
    for (int64_t count = 0;; ++count) {
      self.tick(count);
      std::unique_lock<std::mutex> lock(self.mutex);
      self.changed.wait_for(lock, kInterval, [&] { return self.stopping; });
      if (self.stopping) break;
    }
    self.write(Impl::state_key(self.options.rank), self.last_state);
    if (self.options.rank == 0 && self.last_state != "closed") {
      self.condemn(0, "rank 0 failed: " + self.last_state.substr(7));
      self.publish();
    }
    const auto until = Clock::now() + self.linger;
    while (self.options.rank == 0 && Clock::now() < until && !self.all_closed()) {
      std::this_thread::sleep_for(milliseconds(20));
    }
  } catch (const std::exception&) {
    self.condemn(0, self.options.hosted_by_rank0
                        ? "rank 0 is gone: its process was killed, or its machine cannot be reached"
                        : "the launcher that holds the store is gone");
  }
  std::lock_guard<std::mutex> lock(self.mutex);
  self.ended = true;
  self.changed.notify_all();
}

std::optional<Verdict> Monitor::verdict() {
  std::lock_guard<std::mutex> lock(impl_->mutex);
  Impl& self = *impl_;
  if (self.verdict || self.ended) return self.verdict;
  // The thread waits for a store whose machine has vanished without a word; unless this process was
  // stopped and continued, when the thread needs a moment.
  const auto now = Clock::now();
  if (now - self.ticked <= self.options.silence) {
    self.stale_since.reset();
  } else if (!self.stale_since) {
    self.stale_since = now;
  } else if (now - *self.stale_since > kShortSilence) {
    return Verdict{0, "rank 0 cannot be reached: the store on its machine does not answer"};
  }
  return std::nullopt;
}

void Monitor::alarm() { impl_->alarmed = true; }

milliseconds Monitor::patience() const { return std::min(kShortSilence, impl_->options.silence) + 4 * kInterval; }

void Monitor::fail(const std::string& reason) { stop("failed " + reason, kLinger); }

void Monitor::close() { stop("closed", impl_->has_verdict() ? kLinger : impl_->options.silence); }

void Monitor::stop(const std::string& last_state, milliseconds linger) {
  Impl& self = *impl_;
  if (!self.thread.joinable()) return;
  {
    std::lock_guard<std::mutex> lock(self.mutex);
    self.stopping = true;
    self.last_state = last_state;
    self.linger = linger;
    self.changed.notify_all();
  }
  std::unique_lock<std::mutex> lock(self.mutex);
  const bool ended = self.changed.wait_for(lock, linger + kLinger, [&] { return self.ended; });
  lock.unlock();
  if (ended) self.thread.join();
  else self.thread.detach();
}

}  // namespace mamba_prune
