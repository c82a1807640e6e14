// Knows which worker is gone. A collective only says that a connection broke, or nothing at all.
//
// Every worker's monitor, a thread with a connection of its own to the store of rank 0, renews a heartbeat,
// and leaves word there that the store reads out when the connection ends: so a killed process is noticed at
// once, and a machine that vanished by its silence. The monitor of rank 0 reads all of them and publishes the
// first worker that failed or is gone; the others read that verdict, and if the store itself is gone, rank 0
// is. The thread needs nothing of JavaScript: a worker that computes or reads files for long is not silent.
#pragma once

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
  int workers = 1;
  // Without a heartbeat for so long a worker is gone.
  std::chrono::milliseconds silence{0};
};

struct Verdict {
  int rank;
  std::string reason;
};

class Monitor {
 public:
  // Throws StoreLost if the store cannot be reached.
  explicit Monitor(MonitorOptions options);
  ~Monitor();

  // Who is gone, if anyone is.
  std::optional<Verdict> verdict();
  // How long to wait for a verdict when a connection to somebody broke.
  std::chrono::milliseconds patience() const;
  // Tells the others why this worker ends, and waits for a moment until they know.
  void fail(const std::string& reason);
  // Tells that this worker is done; rank 0 waits for the others, whose store it holds.
  void close();

 private:
  struct Impl;
  static void run(Impl& self);
  void stop(const std::string& last_state, std::chrono::milliseconds linger);

  // Shared with the thread, which may have to be left behind in a dead connection.
  std::shared_ptr<Impl> impl_;
};

}  // namespace mamba_prune
