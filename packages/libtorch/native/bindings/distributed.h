// Process groups: what their binding files share.
#pragma once

#include "addon.h"
#include "bindings/group.h"
#include "handles.h"

namespace mamba_prune {

// As `guarded`; an error that names a worker has its rank as the property `rank`.
template <typename Body> auto guarded_group(Napi::Env env, const std::string& where, Body&& body) -> decltype(body()) {
  return guarded(env, where, [&] {
    try {
      return body();
    } catch (const WorkerLost& lost) {
      Napi::Error error = Napi::Error::New(env, where + ": " + lost.what());
      error.Set("rank", Napi::Number::New(env, lost.rank));
      throw error;
    }
  });
}

// The group that a JavaScript value names. Throws a TypeError that says what was given.
std::shared_ptr<Group> group_of(Napi::Env env, Napi::Value value, const char* what);

}  // namespace mamba_prune
