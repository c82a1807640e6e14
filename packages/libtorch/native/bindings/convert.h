// JavaScript values to libtorch's boxed values and back, driven by an operator's schema.
#pragma once

#include "addon.h"

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

namespace mamba_prune {

// Whether values of this type can cross the boundary at all.
bool is_supported(const c10::TypePtr& type);

// Throws a TypeError that names the argument, what was given and what the schema expects.
c10::IValue to_ivalue(Napi::Env env, Napi::Value value, const c10::Argument& argument);

Napi::Value from_ivalue(Napi::Env env, const c10::IValue& value);

}  // namespace mamba_prune
