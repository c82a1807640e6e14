// Random generators: the default one of each device, and generators of their own.
#include "addon.h"
#include "handles.h"

#include <ATen/Context.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <mutex>

namespace mamba_prune {

namespace {

uint64_t seed_of(Napi::Env env, Napi::Value value) {
  const double seed = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(seed >= 0 && seed <= 9007199254740991.0 && std::floor(seed) == seed)) {
    throw Napi::RangeError::New(env, "seed: got " + describe(value) + ", expected an integer from 0 to 2^53-1");
  }
  return static_cast<uint64_t>(seed);
}

// seedAll(seed): the default generators of the CPU and of every GPU.
void seed_all(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "manualSeed", [&] { at::manual_seed(seed_of(info.Env(), info[0])); });
}

at::Generator default_generator(Napi::Env env, Napi::Value device) {
  if (!device.IsString()) return at::detail::getDefaultCPUGenerator();
  return at::globalContext().defaultGenerator(c10::Device(device.As<Napi::String>().Utf8Value()));
}

// defaultGenerator(device) -> handle
Napi::Value get_default(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "generator", [&]() -> Napi::Value {
    return Napi::Number::New(env, Instance::of(env).generators.insert(default_generator(env, info[0])));
  });
}

// newGenerator(seed) -> handle, CPU
Napi::Value create(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "generator", [&]() -> Napi::Value {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed_of(env, info[0]));
    return Napi::Number::New(env, Instance::of(env).generators.insert(std::move(generator)));
  });
}

// generatorState(generator) -> handle of a uint8 tensor
Napi::Value get_state(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "generator state", [&] {
    at::Generator& generator = generator_of(env, info[0], "generator state");
    std::lock_guard<std::mutex> lock(generator.mutex());
    return wrap(env, generator.get_state());
  });
}

void set_state(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "generator state", [&] {
    at::Generator& generator = generator_of(env, info[0], "generator state");
    const at::Tensor& state = tensor_of(env, info[1], "generator state");
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state);
  });
}

}  // namespace

void init_random(Napi::Env env, Napi::Object exports) {
  exports["seedAll"] = Napi::Function::New(env, seed_all, "seedAll");
  exports["defaultGenerator"] = Napi::Function::New(env, get_default, "defaultGenerator");
  exports["newGenerator"] = Napi::Function::New(env, create, "newGenerator");
  exports["generatorState"] = Napi::Function::New(env, get_state, "generatorState");
  exports["setGeneratorState"] = Napi::Function::New(env, set_state, "setGeneratorState");
}

}  // namespace mamba_prune
