#include "bindings/store_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <system_error>

namespace mamba_prune {

bool is_loopback(const std::string& host) {
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  return host == "localhost" || host == "::1";
}

namespace {

constexpr int kSlice = 50;  // milliseconds

// strerror writes into memory that threads share.
std::string error_text(int code) { return std::error_code(code, std::generic_category()).message(); }

[[noreturn]] void lost(const std::string& what) { throw StoreLost(what); }

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0)
    lost("the address " + host + " is not known: " + (code == EAI_SYSTEM ? error_text(errno) : gai_strerror(code)));
  return {found, &freeaddrinfo};
}

Socket open_for(int family) { return Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

void set_option(const Socket& socket, int level, int name, int value) {
  setsockopt(socket.fd(), level, name, &value, sizeof value);  // none that matters can fail
}

// A port of the system's choice where nobody listens can be its own peer.
bool is_own_peer(const Socket& socket) {
  sockaddr_storage own{}, peer{};
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  return getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         getpeername(socket.fd(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 && own_size == peer_size &&
         std::memcmp(&own, &peer, own_size) == 0;
}

// 0, or the error.
int try_connect(Socket& socket, const addrinfo& address, Patience patience) {
  socket = open_for(address.ai_family);
  if (!socket.is_open()) return errno;
  if (::connect(socket.fd(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return errno;
    if (!patience.wait_for(socket.fd(), POLLOUT)) return ETIMEDOUT;
    int code = 0;
    socklen_t size = sizeof code;
    if (getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &code, &size) != 0) return errno;
    if (code != 0) return code;
  }
  return is_own_peer(socket) ? ECONNREFUSED : 0;
}

// 0, or the error.
int try_listen(Socket& socket, int family, const sockaddr* address, socklen_t size) {
  socket = open_for(family);
  if (!socket.is_open()) return errno;
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  // Both families through one socket.
  if (family == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (::bind(socket.fd(), address, size) != 0 || ::listen(socket.fd(), SOMAXCONN) != 0) return errno;
  return 0;
}

}  // namespace

bool Patience::wait_for(int fd, short events) {
  pollfd entry{fd, events, 0};
  for (;;) {
    const int slice = endless_ ? kSlice : static_cast<int>(std::min<int64_t>(left_, kSlice));
    const int count = ::poll(&entry, 1, std::max(slice, 0));
    if (count > 0) return true;
    if (count < 0 && errno != EINTR) throw StoreLost(error_text(errno));
    if (endless_) continue;
    left_ -= count < 0 ? 1 : slice;
    if (left_ <= 0) return false;
  }
}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    std::swap(fd_, other.fd_);
  }
  return *this;
}

void Socket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Socket Socket::connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout) {
  const auto addresses = resolve(host, port);
  int count = 0;
  for (const addrinfo* at = addresses.get(); at; at = at->ai_next) ++count;
  int code = 0;
  for (const addrinfo* at = addresses.get(); at; at = at->ai_next) {
    Socket socket;
    const Patience share(timeout.count() == 0 ? timeout : std::max(timeout / count, std::chrono::milliseconds(1)));
    code = try_connect(socket, *at, share);
    if (code != 0) continue;
    // Requests are small, and each waits for its answer.
    set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    return socket;
  }
  lost(error_text(code));
}

Socket Socket::listen(const std::string& host, uint16_t port) {
  Socket socket;
  int code = 0;
  if (is_loopback(host)) {
    const auto addresses = resolve(host, port);
    for (const addrinfo* at = addresses.get(); at; at = at->ai_next) {
      code = try_listen(socket, at->ai_family, at->ai_addr, at->ai_addrlen);
      if (code == 0) return socket;
    }
    throw StoreLost(error_text(code));
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_any;
  six.sin6_port = htons(port);
  code = try_listen(socket, AF_INET6, reinterpret_cast<const sockaddr*>(&six), sizeof six);
  // A machine may have no IPv6, or have it switched off.
  if (code == EAFNOSUPPORT || code == EADDRNOTAVAIL) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_addr.s_addr = htonl(INADDR_ANY);
    four.sin_port = htons(port);
    code = try_listen(socket, AF_INET, reinterpret_cast<const sockaddr*>(&four), sizeof four);
  }
  if (code != 0) throw StoreLost(error_text(code));
  return socket;
}

Socket Socket::accept() const {
  Socket socket(::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.is_open()) set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  return socket;
}

uint16_t Socket::port() const {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size) != 0) throw StoreLost(error_text(errno));
  return ntohs(own.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(own).sin6_port
                                         : reinterpret_cast<const sockaddr_in&>(own).sin_port);
}

std::string Socket::own_address() const {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  char text[NI_MAXHOST];
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&own), &size) != 0) throw StoreLost(error_text(errno));
  const int code =
      getnameinfo(reinterpret_cast<const sockaddr*>(&own), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  if (code != 0) throw StoreLost(gai_strerror(code));
  return text;
}

void Socket::send(const std::string& bytes, Patience& patience) const {
  for (size_t sent = 0; sent < bytes.size();) {
    // MSG_NOSIGNAL: no SIGPIPE for a peer that is gone.
    const ssize_t count = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!patience.wait_for(fd_, POLLOUT)) throw StoreLost("no answer in time");
    } else if (errno != EINTR) {
      throw StoreLost(error_text(errno));
    }
  }
}

std::string Socket::receive(size_t size, Patience& patience) const {
  std::string bytes(size, '\0');
  for (size_t got = 0; got < size;) {
    const ssize_t count = ::recv(fd_, &bytes[got], size - got, 0);
    if (count > 0) {
      got += static_cast<size_t>(count);
    } else if (count == 0) {
      throw StoreLost("the connection was closed");
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!patience.wait_for(fd_, POLLIN)) throw StoreLost("no answer in time");
    } else if (errno != EINTR) {
      throw StoreLost(error_text(errno));
    }
  }
  return bytes;
}

}  // namespace mamba_prune
