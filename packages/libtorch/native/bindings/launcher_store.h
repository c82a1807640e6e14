// The store of a launcher (torchrun's agent), which libtorch's TCPStore serves: where rank 0 leaves the address of
// its own. A connection lives for one request.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace mamba_prune {

struct LauncherStore {
  std::string host;
  uint16_t port = 0;
  std::chrono::milliseconds timeout{0};

  // Both throw if the launcher does not answer.
  void set(const std::string& key, const std::string& value) const;
  // Nothing if there is no such value yet.
  std::optional<std::string> get(const std::string& key) const;
};

}  // namespace mamba_prune
