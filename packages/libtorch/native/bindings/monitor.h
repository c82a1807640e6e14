// Knows which worker is gone. A collective only says that a connection broke, or nothing at all.
//
// Every worker's monitor, a thread with a connection of its own to the store, renews a heartbeat. That
// of rank 0 reads all of them and publishes the first worker that failed or fell silent; the others
// read that verdict, and watch rank 0. The thread needs nothing of JavaScript: a worker that computes
// or reads files for long is not silent.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace mamba_prune {

struct MonitorOptions {
  std::string host;
  uint16_t port = 0;
  std::string prefix;
  int rank = 0;
  int size = 1;
  // The store lives in rank 0's process, rather than in a launcher's.
  bool hosted_by_rank0 = true;
  // Without a heartbeat for so long a worker is gone.
  std::chrono::milliseconds silence{0};
};

struct Verdict {
  int rank;
  std::string reason;
};

class Monitor {
 public:
  explicit Monitor(MonitorOptions options);
  ~Monitor();

  // Who is gone, if anyone is.
  std::optional<Verdict> verdict();
  // A connection broke: somebody is gone, so that a shorter silence is enough to tell who.
  void alarm();
  // How long to wait for a verdict after an alarm.
  std::chrono::milliseconds patience() const;
  // Tells the others why this worker ends, and waits for a moment until they know.
  void fail(const std::string& reason);
  // Tells that this worker is done; rank 0 waits for the others, whose store it may hold.
  void close();

 private:
  struct Impl;
  static void run(Impl& self);
  void stop(const std::string& last_state, std::chrono::milliseconds linger);

  // Shared with the thread, which may have to be left behind in a dead connection.
  std::shared_ptr<Impl> impl_;
};

}  // namespace mamba_prune
