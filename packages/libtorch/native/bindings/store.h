// A worker's connection to the store of rank 0 (store_server.h), as libtorch's process groups want it.
//
// libtorch's own TCPStore keeps a thread in every client up to version 2.0, which ends the process when the
// host of the store dies at the wrong moment. This one has none: whoever asks gets the exception.
#pragma once

#include "bindings/store_protocol.h"

#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <mutex>
#include <optional>

namespace mamba_prune {

class StoreClient : public c10d::Store {
 public:
  using Bytes = std::vector<uint8_t>;
  using Keys = std::vector<std::string>;
  using Milliseconds = std::chrono::milliseconds;

  // timeout: for values that are not there yet, and for every answer; 0: without end.
  StoreClient(std::string host, uint16_t port, Milliseconds timeout);

  // Whether the connection broke, or was given up. It stays so.
  bool is_lost() const { return lost_; }
  // Nothing if there is no such value yet; waits for none.
  std::optional<std::string> look(const std::string& key);
  // To be set by the server when this connection ends in whatever way; nothing any more if empty.
  void leave(const StorePairs& will);

  void set(const std::string& key, const Bytes& value) override;
  Bytes compareSet(const std::string& key, const Bytes& expected, const Bytes& desired) override;
  Bytes get(const std::string& key) override;
  int64_t add(const std::string& key, int64_t value) override;
  bool deleteKey(const std::string& key) override;
  bool check(const Keys& keys) override;
  int64_t getNumKeys() override;
  void wait(const Keys& keys) override;
  void wait(const Keys& keys, const Milliseconds& timeout) override;

  // Of libtorch 2; without `override`, for that depends on the version.
  c10::intrusive_ptr<c10d::Store> clone();
  void append(const std::string& key, const Bytes& value);
  std::vector<Bytes> multiGet(const Keys& keys);
  void multiSet(const Keys& keys, const std::vector<Bytes>& values);
  bool hasExtendedApi() const { return true; }

 private:
  // The answer without its status; nothing for kMissing.
  std::optional<std::string> ask(const StoreWriter& request, Milliseconds patience);
  // at_once: without waiting for keys that are missing.
  std::optional<std::string> ask_for(StoreOp op, const Keys& keys, Milliseconds time, bool at_once = false);
  [[noreturn]] static void missing(const Keys& keys, Milliseconds time);

  const std::string host_;
  const uint16_t port_;
  std::mutex mutex_;
  Socket socket_;
  std::atomic<bool> lost_{false};
};

}  // namespace mamba_prune
