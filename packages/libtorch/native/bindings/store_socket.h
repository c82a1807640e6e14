// TCP sockets of the workers' store: every error is an exception in the caller, every wait has an end.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace mamba_prune {

// The other side is gone, does not answer, or does not speak our language.
struct StoreLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What is left of the time that somebody is willing to wait. Counted in the short waits themselves rather than
// by a clock: time in which this process was stopped (a suspended job) is nobody's fault.
class Patience {
 public:
  // 0: without end.
  explicit Patience(std::chrono::milliseconds time) : endless_(time.count() <= 0), left_(time.count()) {}

  // Until one of poll's events is there. False if there is no patience left.
  bool wait_for(int fd, short events);

 private:
  bool endless_;
  int64_t left_;
};

// Whether this is the loopback, which no other machine reaches: its addresses, and the names that always mean it.
bool is_loopback(const std::string& host);

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  // Throws StoreLost that says why nothing answers there.
  static Socket connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout);
  // On this machine alone if the host is a name of the loopback, on all interfaces otherwise. Port 0: any.
  static Socket listen(const std::string& host, uint16_t port);
  // Without a waiting connection: one that is not open, errno says why.
  Socket accept() const;

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  uint16_t port() const;
  // Of this machine, as the other side sees it, in numbers.
  std::string own_address() const;
  void close();

  // All of it, or StoreLost.
  void send(const std::string& bytes, Patience& patience) const;
  std::string receive(size_t size, Patience& patience) const;

 private:
  int fd_ = -1;
};

}  // namespace mamba_prune
