// The key-value store that rank 0 hosts: one thread, which nothing that arrives over the network can end.
//
// A connection that says what it should not is closed, and no other. Each has at most one message in memory
// in either direction. What ends a process also ends its connections: a worker leaves a will there, by
// which the others learn of its death at once, however busy the machine is.
#pragma once

#include "bindings/store_socket.h"

#include <memory>
#include <thread>

namespace mamba_prune {

class StoreServer {
 public:
  // Throws StoreLost if it cannot listen there. Port 0: any that is free.
  StoreServer(const std::string& host, uint16_t port);
  ~StoreServer();
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace mamba_prune
