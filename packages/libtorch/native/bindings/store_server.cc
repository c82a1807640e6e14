#include "bindings/store_server.h"

#include "bindings/store_protocol.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <optional>
#include <system_error>
#include <unordered_map>

namespace mamba_prune {

namespace store_server {

using Time = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Who has not greeted by then is no worker.
constexpr milliseconds kGreetingTime{10'000};
// How often deadlines are looked at, while there are any.
constexpr int kTick = 50;

// A request that is answered when its keys are there.
struct Waiting {
  StoreOp op;
  std::vector<std::string> keys;
  std::optional<Time::time_point> until;
};

struct Connection {
  explicit Connection(Socket given) : socket(std::move(given)) {}
  Socket socket;
  Time::time_point opened = Time::now();
  bool greeted = false;
  std::string in, out;
  size_t sent = 0;
  std::optional<Waiting> waiting;
  StorePairs will;
  bool ended = false;

  bool sends() const { return sent < out.size(); }
};

StoreWriter answer(StoreStatus status) {
  StoreWriter writer;
  writer.byte(static_cast<uint8_t>(status));
  return writer;
}

StoreWriter refusal(const std::string& reason) { return answer(StoreStatus::kRefused).bytes(reason); }

// The number in a value, as `add` keeps it.
std::optional<int64_t> whole_number(const std::string& text) {
  try {
    size_t length = 0;
    const int64_t number = std::stoll(text, &length);
    if (length == text.size()) return number;
  } catch (const std::logic_error&) {
    // No number, or one too large.
  }
  return std::nullopt;
}

}  // namespace store_server

struct StoreServer::Impl {
  using Connection = store_server::Connection;
  using Time = store_server::Time;

  Socket listener;
  Socket wake;  // readable when it is time to end
  std::unordered_map<std::string, std::string> values;
  std::list<Connection> connections;
  // Without descriptors left a waiting connection stays where it is, and poll would report it without end.
  std::optional<Time::time_point> deaf_until;

  void run() {
    std::vector<pollfd> entries;
    for (;;) {
      // Memory can run out anywhere.
      try {
        if (round(entries)) return;
      } catch (...) {
        std::this_thread::sleep_for(store_server::milliseconds(store_server::kTick));
      }
    }
  }

  // True when it is time to end.
  bool round(std::vector<pollfd>& entries) {
    const auto now = Time::now();
    if (deaf_until && now >= *deaf_until) deaf_until.reset();
    entries.clear();
    entries.push_back({wake.fd(), POLLIN, 0});
    entries.push_back({deaf_until ? -1 : listener.fd(), POLLIN, 0});
    bool timed = deaf_until.has_value();
    for (const Connection& each : connections) {
      entries.push_back({each.socket.fd(), static_cast<short>(each.sends() ? POLLOUT : POLLIN), 0});
      timed = timed || !each.greeted || (each.waiting && each.waiting->until);
    }
    const int count = ::poll(entries.data(), entries.size(), timed ? store_server::kTick : -1);
    if (count < 0 && errno != EINTR) throw StoreLost("poll");
    if (count > 0 && entries[0].revents != 0) return true;
    size_t at = 2;
    for (Connection& each : connections) {
      if (count > 0 && entries[at].revents != 0) guarded(each, [&] { serve(each); });
      ++at;
    }
    // A will is a value that somebody may wait for.
    bury();
    do {
      for (Connection& each : connections) expire(each);
    } while (bury());
    if (count > 0 && entries[1].revents != 0) accept();
    return false;
  }

  template <typename Body> static void guarded(Connection& connection, Body&& body) {
    try {
      if (!connection.ended) body();
    } catch (...) {
      connection.ended = true;
    }
  }

  void accept() {
    for (;;) {
      Socket socket = listener.accept();
      if (socket.is_open()) {
        connections.emplace_back(std::move(socket));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        deaf_until = Time::now() + store_server::milliseconds(200);
        return;
      }  // else that one was gone before it was accepted
    }
  }

  void serve(Connection& connection) {
    if (connection.sends()) {
      flush(connection);
    } else {
      receive(connection);
    }
    // One request after the other; only a stranger sends the next before it has its answer.
    while (!connection.sends() && !connection.waiting && take_message(connection)) {
    }
  }

  static void flush(Connection& connection) {
    while (connection.sends()) {
      const ssize_t count = ::send(connection.socket.fd(), connection.out.data() + connection.sent,
                                   connection.out.size() - connection.sent, MSG_NOSIGNAL);
      if (count >= 0) {
        connection.sent += static_cast<size_t>(count);
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return;
      } else if (errno != EINTR) {
        throw StoreLost("send");
      }
    }
    connection.out.clear();
    connection.sent = 0;
  }

  static void receive(Connection& connection) {
    char bytes[1 << 16];
    const ssize_t count = ::recv(connection.socket.fd(), bytes, sizeof bytes, 0);
    if (count > 0) {
      if (connection.waiting) throw StoreLost("a request before the answer");
      connection.in.append(bytes, static_cast<size_t>(count));
    } else if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
      throw StoreLost("closed");
    }
  }

  // False if there is no whole one yet.
  bool take_message(Connection& connection) {
    std::string& in = connection.in;
    if (!connection.greeted) {
      const size_t length = std::min(in.size(), kStoreGreeting.size());
      if (std::string_view(in).substr(0, length) != kStoreGreeting.substr(0, length)) throw StoreLost("no greeting");
      if (length < kStoreGreeting.size()) return false;
      in.erase(0, length);
      connection.greeted = true;
      connection.out = kStoreGreeting;
      flush(connection);
      return true;
    }
    if (in.size() < 4) return false;
    const size_t size = StoreReader(in).count();
    if (size > kStoreMessageLimit) throw StoreLost("too long");
    if (in.size() - 4 < size) return false;
    const std::string request = in.substr(4, size);
    in.erase(0, 4 + size);
    handle(connection, request);
    return true;
  }

  void reply(Connection& connection, const StoreWriter& writer) {
    connection.out = writer.message();
    connection.sent = 0;
    flush(connection);
  }

  void handle(Connection& connection, const std::string& request) {
    using namespace store_server;
    StoreReader reader(request);
    const StoreOp op{reader.byte()};
    switch (op) {
      case StoreOp::kSet: {
        StorePairs pairs = reader.pairs();
        reader.end();
        for (auto& [key, value] : pairs) values[key] = std::move(value);
        return reply(connection, answer(StoreStatus::kDone));
      }
      case StoreOp::kGet:
      case StoreOp::kWait: {
        const int64_t time = reader.number();
        Waiting waiting{op, reader.texts(), std::nullopt};
        reader.end();
        // More milliseconds than a week has are for ever: the sum must not overflow.
        if (time < 604'800'000) waiting.until = Time::now() + milliseconds(std::max<int64_t>(time, 0));
        connection.waiting = std::move(waiting);
        return;
      }
      case StoreOp::kAdd: {
        const std::string key = reader.text();
        const int64_t more = reader.number();
        reader.end();
        const auto found = values.find(key);
        const auto old = found == values.end() ? std::optional<int64_t>(0) : whole_number(found->second);
        int64_t sum = 0;
        if (!old || __builtin_add_overflow(*old, more, &sum)) {
          return reply(connection, refusal("cannot add " + std::to_string(more) + " to the value of " + key));
        }
        values[key] = std::to_string(sum);
        return reply(connection, answer(StoreStatus::kDone).number(sum));
      }
      case StoreOp::kCompareSet: {
        const std::string key = reader.text(), expected = reader.text(), desired = reader.text();
        reader.end();
        const auto found = values.find(key);
        // As libtorch's stores do: no value equals an empty one, and is else said to be as expected.
        if (found == values.end() && !expected.empty()) {
          return reply(connection, answer(StoreStatus::kDone).bytes(expected));
        }
        if (found == values.end() || found->second == expected) values[key] = desired;
        return reply(connection, answer(StoreStatus::kDone).bytes(values[key]));
      }
      case StoreOp::kAppend: {
        const std::string key = reader.text(), more = reader.text();
        reader.end();
        std::string& value = values[key];
        // What cannot be sent in an answer must not be kept.
        if (value.size() + more.size() > kStoreMessageLimit / 2)
          return reply(connection, refusal("too long a value of " + key));
        value += more;
        return reply(connection, answer(StoreStatus::kDone));
      }
      case StoreOp::kDelete: {
        const std::string key = reader.text();
        reader.end();
        return reply(connection, answer(StoreStatus::kDone).number(static_cast<int64_t>(values.erase(key))));
      }
      case StoreOp::kCount:
        reader.end();
        return reply(connection, answer(StoreStatus::kDone).number(static_cast<int64_t>(values.size())));
      case StoreOp::kWill: {
        StorePairs will = reader.pairs();
        reader.end();
        connection.will = std::move(will);
        return reply(connection, answer(StoreStatus::kDone));
      }
    }
    throw StoreLost("no such request");
  }

  bool has_all(const std::vector<std::string>& keys) const {
    return std::all_of(keys.begin(), keys.end(), [&](const std::string& key) { return values.count(key) != 0; });
  }

  // Answers a request whose keys or whose deadline have come; ends a connection that never greeted.
  void expire(Connection& connection) {
    using namespace store_server;
    guarded(connection, [&] {
      if (!connection.greeted && Time::now() - connection.opened > kGreetingTime) throw StoreLost("no greeting");
      if (!connection.waiting) return;
      const bool ready = has_all(connection.waiting->keys);
      if (!ready && !(connection.waiting->until && Time::now() >= *connection.waiting->until)) return;
      const Waiting waiting = *std::exchange(connection.waiting, std::nullopt);
      if (!ready) return reply(connection, answer(StoreStatus::kMissing));
      StoreWriter writer = answer(StoreStatus::kDone);
      if (waiting.op == StoreOp::kGet) {
        for (const std::string& key : waiting.keys) writer.bytes(values.at(key));
      }
      reply(connection, writer);
    });
  }

  // Removes what has ended. True if that changed a value.
  bool bury() {
    bool changed = false;
    for (auto each = connections.begin(); each != connections.end();) {
      if (!each->ended) {
        ++each;
        continue;
      }
      for (auto& [key, value] : each->will) {
        values[key] = std::move(value);
        changed = true;
      }
      each = connections.erase(each);
    }
    return changed;
  }
};

StoreServer::StoreServer(const std::string& host, uint16_t port) : impl_(std::make_unique<Impl>()) {
  impl_->listener = Socket::listen(host, port);
  port_ = impl_->listener.port();
  impl_->wake = Socket(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl_->wake.is_open()) throw StoreLost(std::error_code(errno, std::generic_category()).message());
  thread_ = std::thread([impl = impl_.get()] { impl->run(); });
}

StoreServer::~StoreServer() {
  const uint64_t one = 1;
  while (::write(impl_->wake.fd(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
}

}  // namespace mamba_prune
