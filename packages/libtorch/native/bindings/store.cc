#include "bindings/store.h"

#include <c10/util/Exception.h>

#include <limits>

namespace mamba_prune {

namespace store_client {

using std::chrono::milliseconds;

// An answer may be this much later than the wait that was asked for.
constexpr milliseconds kGrace{5000};

StoreWriter request(StoreOp op) {
  StoreWriter writer;
  writer.byte(static_cast<uint8_t>(op));
  return writer;
}

StoreClient::Bytes read_bytes(StoreReader& reader) {
  const std::string text = reader.text();
  return {text.begin(), text.end()};
}

}  // namespace store_client

StoreClient::StoreClient(std::string host, uint16_t port, Milliseconds timeout)
    : c10d::Store(timeout), host_(std::move(host)), port_(port), socket_(Socket::connect(host_, port, timeout)) {
  Patience patience(timeout);
  socket_.send(std::string(kStoreGreeting), patience);
  if (socket_.receive(kStoreGreeting.size(), patience) != kStoreGreeting) {
    throw StoreLost("another program listens there, expected rank 0 of the same version");
  }
}

std::optional<std::string> StoreClient::ask(const StoreWriter& request, Milliseconds time) {
  const std::string message = request.message();
  std::string answer;
  std::lock_guard<std::mutex> lock(mutex_);
  try {
    if (lost_) throw StoreLost("its connection broke before");
    Patience patience(time);
    socket_.send(message, patience);
    const std::string head = socket_.receive(4, patience);
    const size_t size = StoreReader(head).count();
    if (size == 0 || size > kStoreMessageLimit) throw StoreLost("got a malformed message");
    answer = socket_.receive(size, patience);
  } catch (const std::exception& error) {
    // Whatever came later would be taken for the answer to another question.
    lost_ = true;
    socket_.close();
    throw StoreLost("the store at " + host_ + ":" + std::to_string(port_) + " is lost: " + error.what());
  }
  const StoreStatus status{static_cast<uint8_t>(answer[0])};
  answer.erase(0, 1);
  if (status == StoreStatus::kMissing) return std::nullopt;
  TORCH_CHECK(status == StoreStatus::kDone, "the store refused: ", StoreReader(answer).text());
  return answer;
}

std::optional<std::string> StoreClient::ask_for(StoreOp op, const Keys& keys, Milliseconds time, bool at_once) {
  const bool endless = time == kNoTimeout;
  const int64_t count = at_once ? 0 : endless ? std::numeric_limits<int64_t>::max() : time.count();
  StoreWriter writer = store_client::request(op);
  writer.number(count).count(keys.size());
  for (const std::string& key : keys) writer.bytes(key);
  return ask(writer, endless || at_once ? time : time + store_client::kGrace);
}

void StoreClient::missing(const Keys& keys, Milliseconds time) {
  std::string names;
  for (const std::string& key : keys) names += (names.empty() ? "" : ", ") + key;
  TORCH_CHECK(false, "nobody set ", names, " within ", static_cast<double>(time.count()) / 1000, " s");
}

std::optional<std::string> StoreClient::look(const std::string& key) {
  const auto answer = ask_for(StoreOp::kGet, {key}, timeout_, true);
  if (!answer) return std::nullopt;
  return StoreReader(*answer).text();
}

void StoreClient::leave(const StorePairs& will) { ask(store_client::request(StoreOp::kWill).pairs(will), timeout_); }

void StoreClient::set(const std::string& key, const Bytes& value) { multiSet({key}, {value}); }

void StoreClient::multiSet(const Keys& keys, const std::vector<Bytes>& values) {
  TORCH_CHECK(keys.size() == values.size(), "got ", keys.size(), " keys and ", values.size(),
              " values, expected as many");
  StoreWriter writer = store_client::request(StoreOp::kSet);
  writer.count(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) writer.bytes(keys[i]).bytes(values[i]);
  ask(writer, timeout_);
}

StoreClient::Bytes StoreClient::get(const std::string& key) { return multiGet({key}).front(); }

std::vector<StoreClient::Bytes> StoreClient::multiGet(const Keys& keys) {
  const auto answer = ask_for(StoreOp::kGet, keys, timeout_);
  if (!answer) missing(keys, timeout_);
  StoreReader reader(*answer);
  std::vector<Bytes> values;
  for (size_t i = 0; i < keys.size(); ++i) values.push_back(store_client::read_bytes(reader));
  return values;
}

StoreClient::Bytes StoreClient::compareSet(const std::string& key, const Bytes& expected, const Bytes& desired) {
  const auto answer =
      ask(store_client::request(StoreOp::kCompareSet).bytes(key).bytes(expected).bytes(desired), timeout_);
  StoreReader reader(answer.value());
  return store_client::read_bytes(reader);
}

int64_t StoreClient::add(const std::string& key, int64_t value) {
  return StoreReader(ask(store_client::request(StoreOp::kAdd).bytes(key).number(value), timeout_).value()).number();
}

void StoreClient::append(const std::string& key, const Bytes& value) {
  ask(store_client::request(StoreOp::kAppend).bytes(key).bytes(value), timeout_);
}

bool StoreClient::deleteKey(const std::string& key) {
  return StoreReader(ask(store_client::request(StoreOp::kDelete).bytes(key), timeout_).value()).number() > 0;
}

int64_t StoreClient::getNumKeys() {
  return StoreReader(ask(store_client::request(StoreOp::kCount), timeout_).value()).number();
}

bool StoreClient::check(const Keys& keys) { return ask_for(StoreOp::kWait, keys, timeout_, true).has_value(); }

void StoreClient::wait(const Keys& keys) { wait(keys, timeout_); }

void StoreClient::wait(const Keys& keys, const Milliseconds& timeout) {
  if (!ask_for(StoreOp::kWait, keys, timeout)) missing(keys, timeout);
}

c10::intrusive_ptr<c10d::Store> StoreClient::clone() {
  return c10::make_intrusive<StoreClient>(host_, port_, timeout_);
}

}  // namespace mamba_prune
