// Tensors and generators live in C++; JavaScript holds numbers that name them.
//
// A number is cheaper than an object with a finalizer (no garbage-collector work per operator call),
// and a wrong one is caught: the handle carries a tag no ordinary number has and the generation of
// its slot, so a handle used after dispose is an error, never a dangling pointer.
#pragma once

#include "addon.h"

#include <cstdint>
#include <vector>

namespace mamba_prune {

template <typename T> class HandleTable {
 public:
  explicit HandleTable(uint64_t tag) : tag_(tag) {}

  double insert(T value) {
    uint32_t index;
    if (free_.empty()) {
      index = static_cast<uint32_t>(slots_.size());
      if (index > kIndexMask) throw std::runtime_error("too many live handles");
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.value = std::move(value);
    slot.live = true;
    ++live_;
    return static_cast<double>(tag_ | (static_cast<uint64_t>(slot.generation) << kIndexBits) | index);
  }

  // nullptr when the number is no live handle of this table.
  T* find(double handle) {
    Slot* slot = slot_of(handle);
    return slot ? &slot->value : nullptr;
  }

  bool remove(double handle) {
    Slot* slot = slot_of(handle);
    if (!slot) return false;
    // Moved out first: destroying a tensor can run arbitrary destructors.
    T value = std::move(slot->value);
    slot->value = T();
    slot->live = false;
    slot->generation = (slot->generation + 1) & kGenerationMask;
    free_.push_back(static_cast<uint32_t>(slot - slots_.data()));
    --live_;
    return true;
  }

  size_t live() const { return live_; }

  // Whether the number has the form of this table's handles, live or not.
  bool could_be(double handle) const {
    // 2^53: above it doubles are no exact integers. The comparison is false for NaN.
    if (!(handle >= 0 && handle < 9007199254740992.0)) return false;
    const uint64_t bits = static_cast<uint64_t>(handle);
    return static_cast<double>(bits) == handle && (bits & ~((1ull << 49) - 1)) == tag_;
  }

 private:
  static constexpr int kIndexBits = 26;
  static constexpr uint64_t kIndexMask = (1ull << kIndexBits) - 1;
  static constexpr uint32_t kGenerationMask = (1u << 23) - 1;

  struct Slot {
    T value;
    uint32_t generation = 0;
    bool live = false;
  };

  Slot* slot_of(double handle) {
    if (!could_be(handle)) return nullptr;
    const uint64_t bits = static_cast<uint64_t>(handle);
    const uint64_t index = bits & kIndexMask;
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    const uint64_t generation = (bits >> kIndexBits) & kGenerationMask;
    return slot.live && slot.generation == generation ? &slot : nullptr;
  }

  uint64_t tag_;
  size_t live_ = 0;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

struct OwnedTensor {
  at::Tensor tensor;
  int64_t bytes = 0;  // what this handle added to the external memory reported to V8
};

// One per JavaScript environment (each worker thread has its own).
struct Instance {
  HandleTable<OwnedTensor> tensors{1ull << 51};
  HandleTable<at::Generator> generators{1ull << 50};
  int64_t reported_bytes = 0;  // told to V8
  int64_t owned_bytes = 0;     // held by live handles
  int64_t peak_bytes = 0;      // the most that was held lately, never less than is held

  static Instance& of(Napi::Env env);
};

// A new handle for a defined tensor; null for an undefined one.
Napi::Value wrap(Napi::Env env, at::Tensor tensor);

// The tensor a JavaScript value names. Throws a TypeError that says what was given.
at::Tensor& tensor_of(Napi::Env env, Napi::Value value, const char* what);
at::Generator& generator_of(Napi::Env env, Napi::Value value, const char* what);

// "number 3", "a disposed tensor", "string", for messages.
std::string describe(Napi::Value value);

}  // namespace mamba_prune
