// What the store's client and server say to each other: the same for every version of libtorch.
//
// Both begin with kGreeting. Then each request is answered before the next one: a message is its length
// (32 bits, little-endian like all numbers) and so many bytes. A request begins with a StoreOp, an answer
// with a StoreStatus. Keys and values are preceded by their lengths, lists by their counts.
#pragma once

#include "bindings/store_socket.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mamba_prune {

// A view: the server may still run when globals are destroyed.
constexpr std::string_view kStoreGreeting("mps-1\r\n\0", 8);
// Of a message. Far above what workers tell each other, and little enough for a stranger to send.
constexpr size_t kStoreMessageLimit = 16u << 20;

enum class StoreOp : uint8_t {
  kSet,         // pairs
  kGet,         // milliseconds, keys: their values as soon as all are there
  kWait,        // milliseconds, keys: nothing, as soon as all are there
  kAdd,         // key, number: the sum
  kCompareSet,  // key, expected, desired: the value afterwards
  kAppend,      // key, value
  kDelete,      // key: how many there were
  kCount,       // how many keys there are
  kWill,        // pairs: set when this connection ends; each such request replaces the one before
};

enum class StoreStatus : uint8_t {
  kDone,
  kMissing,  // a key was not there in time
  kRefused,  // with the reason
};

using StorePairs = std::vector<std::pair<std::string, std::string>>;

class StoreWriter {
 public:
  StoreWriter& byte(uint8_t value) {
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  StoreWriter& number(int64_t value) { return little_endian(static_cast<uint64_t>(value), 8); }
  StoreWriter& count(size_t value) {
    if (value > kStoreMessageLimit) refuse_size(value);
    return little_endian(value, 4);
  }
  template <typename Bytes> StoreWriter& bytes(const Bytes& value) {
    count(value.size());
    bytes_.append(value.begin(), value.end());
    return *this;
  }
  StoreWriter& pairs(const StorePairs& values) {
    count(values.size());
    for (const auto& [key, value] : values) bytes(key).bytes(value);
    return *this;
  }
  // With the length in front.
  std::string message() const {
    if (bytes_.size() > kStoreMessageLimit) refuse_size(bytes_.size());
    StoreWriter head;
    return head.count(bytes_.size()).bytes_ + bytes_;
  }

 private:
  [[noreturn]] static void refuse_size(size_t size) {
    throw std::length_error("got a message of " + std::to_string(size) + " bytes, expected at most " +
                            std::to_string(kStoreMessageLimit));
  }
  StoreWriter& little_endian(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) byte(static_cast<uint8_t>(value >> (8 * i)));
    return *this;
  }
  std::string bytes_;
};

// Throws StoreLost where the bytes are none of ours.
class StoreReader {
 public:
  explicit StoreReader(const std::string& bytes) : bytes_(bytes) {}

  uint8_t byte() { return static_cast<uint8_t>(little_endian(1)); }
  int64_t number() { return static_cast<int64_t>(little_endian(8)); }
  size_t count() { return little_endian(4); }
  std::string text() {
    const size_t size = count();
    need(size);
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  std::vector<std::string> texts() {
    // Not reserved: the count is only what somebody claims.
    std::vector<std::string> values;
    for (size_t left = count(); left > 0; --left) values.push_back(text());
    return values;
  }
  StorePairs pairs() {
    StorePairs values;
    for (size_t left = count(); left > 0; --left) {
      std::string key = text();
      values.emplace_back(std::move(key), text());
    }
    return values;
  }
  void end() const {
    if (at_ != bytes_.size()) throw StoreLost("got a malformed message");
  }

 private:
  void need(size_t size) const {
    if (size > bytes_.size() - at_) throw StoreLost("got a malformed message");
  }
  uint64_t little_endian(size_t size) {
    need(size);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes_[at_ + i])) << (8 * i);
    at_ += size;
    return value;
  }
  const std::string& bytes_;
  size_t at_ = 0;
};

}  // namespace mamba_prune
