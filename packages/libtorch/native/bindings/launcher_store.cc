#include "bindings/launcher_store.h"

#include "bindings/store_socket.h"

#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstring>
#include <vector>

namespace mamba_prune {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR > 0)

namespace launcher_store {

c10::intrusive_ptr<c10d::TCPStore> open(const LauncherStore& at) {
  c10d::TCPStoreOptions client;
  client.port = at.port;
  client.waitWorkers = false;
  client.timeout = at.timeout;
  return c10::make_intrusive<c10d::TCPStore>(at.host, client);
}

}  // namespace launcher_store

void LauncherStore::set(const std::string& key, const std::string& value) const {
  launcher_store::open(*this)->set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

std::optional<std::string> LauncherStore::get(const std::string& key) const {
  const auto store = launcher_store::open(*this);
  if (!store->check({key})) return std::nullopt;
  const std::vector<uint8_t> value = store->get(key);
  return std::string(value.begin(), value.end());
}

#else

// Up to libtorch 2.0 every TCPStore client has a thread that ends the process when the launcher dies while it lives,
// however short that is. So we say ourselves what it would: requests are a byte, numbers are as in memory, and
// every key has a slash in front.
namespace launcher_store {

enum class Query : uint8_t { kSet = 0, kGet = 2, kCheck = 4 };
constexpr uint8_t kReady = 0;
constexpr uint64_t kValueLimit = 1 << 16;

std::string number(uint64_t value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string text(const std::string& value) { return number(value.size()) + value; }

std::string query(Query type) { return std::string(1, static_cast<char>(type)); }

struct Connection {
  explicit Connection(const LauncherStore& at)
      : socket(Socket::connect(at.host, at.port, at.timeout)), patience(at.timeout) {}
  Socket socket;
  Patience patience;

  bool has(const std::string& key) {
    socket.send(query(Query::kCheck) + number(1) + text("/" + key), patience);
    return static_cast<uint8_t>(socket.receive(1, patience)[0]) == kReady;
  }
};

}  // namespace launcher_store

void LauncherStore::set(const std::string& key, const std::string& value) const {
  using namespace launcher_store;
  Connection connection(*this);
  connection.socket.send(query(Query::kSet) + text("/" + key) + text(value), connection.patience);
  // That is not answered; the next is, when it is done.
  if (!connection.has(key)) throw StoreLost("the launcher's store did not keep a value");
}

std::optional<std::string> LauncherStore::get(const std::string& key) const {
  using namespace launcher_store;
  Connection connection(*this);
  if (!connection.has(key)) return std::nullopt;
  connection.socket.send(query(Query::kGet) + text("/" + key), connection.patience);
  uint64_t size = 0;
  std::memcpy(&size, connection.socket.receive(sizeof size, connection.patience).data(), sizeof size);
  if (size > kValueLimit) throw StoreLost("got a malformed answer of the launcher's store");
  return connection.socket.receive(size, connection.patience);
}

#endif

}  // namespace mamba_prune
