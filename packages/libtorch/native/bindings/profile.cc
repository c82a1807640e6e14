// Starts and ends the record of where time goes (kernels/stage_times.h).
#include "addon.h"
#include "kernels/stage_times.h"

namespace mamba_prune {

namespace {

void profile_start(const Napi::CallbackInfo& info) {
  guarded(info.Env(), "profileStart", [] { stage_times::start(); });
}

// -> [name, calls, ms, name, calls, ms, ...]
Napi::Value profile_stop(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "profileStop", [&]() -> Napi::Value {
    const std::vector<stage_times::Row> rows = stage_times::stop();
    Napi::Array out = Napi::Array::New(env, 3 * rows.size());
    uint32_t at = 0;
    for (const stage_times::Row& row : rows) {
      out[at++] = Napi::String::New(env, row.name);
      out[at++] = Napi::Number::New(env, static_cast<double>(row.calls));
      out[at++] = Napi::Number::New(env, row.ms);
    }
    return out;
  });
}

}  // namespace

void init_profile(Napi::Env env, Napi::Object exports) {
  exports["profileStart"] = Napi::Function::New(env, profile_start, "profileStart");
  exports["profileStop"] = Napi::Function::New(env, profile_stop, "profileStop");
}

}  // namespace mamba_prune
