// Stands in for Gloo's own headers, which neither Debian nor pip installs with libtorch.
//
// c10d's ProcessGroupGloo.hpp includes them, but only points to Gloo's classes: their content has no
// part in the layout of ProcessGroupGloo, and nothing here constructs, calls or derives from one. So it
// is enough that the names exist. The code behind them is in libtorch_cpu (pip) or in a library that
// it loads (Debian).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport

namespace rendezvous {

// c10d derives a class from it; the virtual functions are those that it says it overrides.
class Store {
 public:
  static constexpr std::chrono::milliseconds kDefaultTimeout = std::chrono::seconds(30);

  virtual ~Store() = default;
  virtual void set(const std::string& key, const std::vector<char>& value) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) = 0;
};

}  // namespace rendezvous
}  // namespace gloo
