#include "bindings/monitor.h"

#include "bindings/store.h"

#include <charconv>

namespace mamba_prune {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kInterval{400};
// For the others to hear of an error before this process, and with it the store, goes.
constexpr milliseconds kLinger{10'000};

// What a worker's state says besides its heartbeats.
constexpr const char* kClosed = "closed";
constexpr const char* kTold = "told";  // it has read the verdict, and needs the store no more
constexpr const char* kGone = "gone";  // its connection ended without a word: the store says so
constexpr const char* kFailed = "failed ";

std::string text_of(const Verdict& verdict) { return std::to_string(verdict.rank) + "\n" + verdict.reason; }

// Nothing if that is no verdict.
std::optional<Verdict> verdict_of(const std::string& text) {
  const size_t line = text.find('\n');
  if (line == std::string::npos) return std::nullopt;
  int rank = -1;
  const auto [end, code] = std::from_chars(text.data(), text.data() + line, rank);
  if (code != std::errc() || end != text.data() + line || rank < 0) return std::nullopt;
  return Verdict{rank, text.substr(line + 1)};
}

std::string gone(int rank) {
  return "rank " + std::to_string(rank) + " is gone: its process was killed, or its machine cannot be reached";
}

}  // namespace

struct Monitor::Impl {
  struct Peer {
    std::string state;
    Clock::time_point changed = Clock::now();
    bool closed = false;  // nothing more is to be expected of it
  };

  explicit Impl(MonitorOptions given)
      : options(std::move(given)), peers(options.workers), store(options.host, options.port, options.silence) {}

  const MonitorOptions options;
  std::vector<Peer> peers;
  StoreClient store;
  std::thread thread;
  Clock::time_point ticked = Clock::now();

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Verdict> verdict;
  std::string last_state;  // set when the thread has to end
  milliseconds linger{0};  // and how long it may wait for the others then
  bool stopping = false;
  bool ended = false;

  std::string read(const std::string& key) { return store.look(options.prefix + key).value_or(""); }

  void write(const std::string& key, const std::string& value) {
    store.set(options.prefix + key, {value.begin(), value.end()});
  }

  static std::string state_key(int rank) { return "state/" + std::to_string(rank); }

  // What the store is to say of this worker if it ends without a word.
  void leave_word() { store.leave({{options.prefix + state_key(options.rank), kGone}}); }

  void condemn(int rank, const std::string& reason) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!verdict) verdict = Verdict{rank, reason};
  }

  std::optional<Verdict> found() {
    std::lock_guard<std::mutex> lock(mutex);
    return verdict;
  }

  // Reads a worker's state and judges it.
  void look_at(int rank) {
    Peer& peer = peers[rank];
    if (peer.closed) return;
    std::string state = read(state_key(rank));
    const auto now = Clock::now();
    if (state != peer.state) {
      peer.state = std::move(state);
      peer.changed = now;
    }
    if (peer.state == kClosed || peer.state == kTold) {
      peer.closed = true;
    } else if (peer.state.rfind(kFailed, 0) == 0) {
      peer.closed = true;
      condemn(rank, "rank " + std::to_string(rank) + " failed: " + peer.state.substr(std::string(kFailed).size()));
    } else if (peer.state == kGone || (rank != 0 && now - peer.changed > options.silence)) {
      // Rank 0 is not silent as long as its store answers.
      peer.closed = true;
      condemn(rank, gone(rank));
    }
  }

  void tick(int64_t count) {
    const auto now = Clock::now();
    // Stopped and continued (a suspended job): the others probably were too.
    if (now - ticked > 4 * kInterval) {
      for (Peer& peer : peers) peer.changed = now;
    }
    ticked = now;
    write(state_key(options.rank), "alive " + std::to_string(count));
    if (options.rank == 0) {
      for (int rank = 1; rank < options.workers; ++rank) look_at(rank);
      publish();
      return;
    }
    if (const auto published = verdict_of(read("verdict"))) {
      condemn(published->rank, published->reason);
    } else {
      look_at(0);
    }
  }

  void publish() {
    if (const auto known = found()) write("verdict", text_of(*known));
  }

  // The last word, which the store must not replace by its own.
  void say(const std::string& state) {
    write(state_key(options.rank), state);
    store.leave({});
  }

  // All others know, or are gone.
  bool all_closed() {
    for (int rank = 1; rank < options.workers; ++rank) {
      look_at(rank);
      if (!peers[rank].closed) return false;
    }
    return true;
  }

  // False when it is time to end.
  bool sleep(std::unique_lock<std::mutex>& lock, milliseconds time) {
    return !changed.wait_for(lock, time, [&] { return stopping; });
  }

  void watch() {
    for (int64_t count = 0;; ++count) {
      tick(count);
      const bool told = options.rank != 0 && found();
      if (told) say(kTold);
      std::unique_lock<std::mutex> lock(mutex);
      if (told) changed.wait(lock, [&] { return stopping; });
      if (told) return;
      if (!sleep(lock, kInterval)) break;
    }
    say(last_state);
    if (options.rank != 0) return;
    if (last_state != kClosed) condemn(0, "rank 0 failed: " + last_state.substr(std::string(kFailed).size()));
    publish();
    for (const auto until = Clock::now() + linger; Clock::now() < until && !all_closed();) {
      // Somebody else may be lost meanwhile.
      publish();
      std::this_thread::sleep_for(milliseconds(20));
    }
  }
};

Monitor::Monitor(MonitorOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {
  if (impl_->options.rank != 0) impl_->leave_word();
  impl_->thread = std::thread([shared = impl_] { run(*shared); });
}

Monitor::~Monitor() { stop(kClosed, milliseconds(0)); }

void Monitor::run(Impl& self) {
  const int rank = self.options.rank;
  try {
    self.watch();
  } catch (const StoreLost&) {
    // Unless it had said that it was done, and this worker is the last.
    if (!self.peers[0].closed) self.condemn(0, gone(0));
  } catch (const std::exception& error) {
    self.condemn(rank, "rank " + std::to_string(rank) + " cannot watch the others: " + error.what());
  } catch (...) {
    self.condemn(rank, "rank " + std::to_string(rank) + " cannot watch the others");
  }
  std::lock_guard<std::mutex> lock(self.mutex);
  self.ended = true;
  self.changed.notify_all();
}

std::optional<Verdict> Monitor::verdict() { return impl_->found(); }

milliseconds Monitor::patience() const { return impl_->options.silence + 4 * kInterval; }

void Monitor::fail(const std::string& reason) { stop(kFailed + reason, kLinger); }

void Monitor::close() { stop(kClosed, impl_->found() ? kLinger : impl_->options.silence); }

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
