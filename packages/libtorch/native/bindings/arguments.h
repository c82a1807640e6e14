// Arguments from JavaScript that several binding files take. Each throws an error that says what was given.
#pragma once

#include "addon.h"
#include "handles.h"

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

namespace mamba_prune {

template <typename T>
T& entry(HandleTable<T>& table, Napi::Env env, Napi::Value value, const char* what, const char* expected) {
  T* found = value.IsNumber() ? table.find(value.As<Napi::Number>().DoubleValue()) : nullptr;
  if (found) return *found;
  throw Napi::TypeError::New(
      env, std::string(what) + ": got " + describe(value) + ", expected " + expected + " that is open");
}

inline std::string string_argument(Napi::Env env, Napi::Value value, const char* what) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected a string");
}

inline std::vector<std::string> strings_argument(Napi::Env env, Napi::Value value, const char* what) {
  if (!value.IsArray()) {
    throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected an array of strings");
  }
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) strings.push_back(string_argument(env, array.Get(i), what));
  return strings;
}

// An integer from `low` to `high`, as wide as they are.
template <class T> T whole(Napi::Env env, Napi::Value value, const char* what, T low, T high) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  const bool fits = number >= static_cast<double>(low) && number <= static_cast<double>(high);
  if (fits && number == std::floor(number)) return static_cast<T>(number);
  throw Napi::RangeError::New(env, std::string(what) + ": got " + describe(value) + ", expected an integer from " +
                                       std::to_string(low) + " to " + std::to_string(high));
}

inline std::chrono::milliseconds duration(Napi::Env env, Napi::Value value, const char* what) {
  return std::chrono::milliseconds(whole(env, value, what, 1, 2'000'000'000));
}

}  // namespace mamba_prune
