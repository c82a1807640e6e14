// Cache-line aligned, zeroed working memory of one thread.
#pragma once
#include <cstdint>
#include <cstring>
#include <new>

namespace mamba_prune {

template <class T> class Scratch {
 public:
  explicit Scratch(int64_t count) : data_(static_cast<T*>(::operator new(bytes(count), alignment))) {
    std::memset(data_, 0, bytes(count));
  }
  ~Scratch() { ::operator delete(data_, alignment); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  static constexpr std::align_val_t alignment{64};
  static size_t bytes(int64_t count) { return static_cast<size_t>(count > 0 ? count : 1) * sizeof(T); }
  T* data_;
};

}  // namespace mamba_prune
