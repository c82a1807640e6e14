#include "convert.h"
#include "handles.h"

#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>

#include <cmath>
#include <limits>
#include <unordered_map>

namespace mamba_prune {

namespace {

using c10::IValue;
using c10::TypeKind;

constexpr double kExactInteger = 9007199254740992.0;  // 2^53

// Schemas call a dtype, a layout and a memory format "int"; TypeScript spells them out.
const std::unordered_map<std::string, int64_t>& named_integers() {
  static const std::unordered_map<std::string, int64_t> names{
      {"strided", static_cast<int64_t>(c10::Layout::Strided)},
      {"contiguous_format", static_cast<int64_t>(c10::MemoryFormat::Contiguous)},
      {"preserve_format", static_cast<int64_t>(c10::MemoryFormat::Preserve)},
      {"channels_last", static_cast<int64_t>(c10::MemoryFormat::ChannelsLast)},
  };
  return names;
}

[[noreturn]] void refuse(Napi::Env env, Napi::Value value, const c10::Argument& argument, const std::string& expected) {
  throw Napi::TypeError::New(env,
                             "argument '" + argument.name() + "': got " + describe(value) + ", expected " + expected);
}

std::string type_name(const c10::TypePtr& type) { return type->repr_str(); }

int64_t to_int(Napi::Env env, Napi::Value value, const c10::Argument& argument) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (std::floor(number) != number || std::fabs(number) > kExactInteger)
      refuse(env, value, argument, "an integer within 2^53");
    // A handle is an integer too, and never one that was meant.
    if (Instance::of(env).tensors.find(number)) refuse(env, value, argument, "an integer");
    return static_cast<int64_t>(number);
  }
  if (value.IsString()) {
    const std::string name = value.As<Napi::String>().Utf8Value();
    const auto& names = named_integers();
    const auto found = names.find(name);
    return found != names.end() ? found->second : static_cast<int64_t>(dtype_from_name(name));
  }
  if (value.IsBigInt()) {
    bool lossless = false;
    const int64_t number = value.As<Napi::BigInt>().Int64Value(&lossless);
    if (lossless) return number;
  }
  refuse(env, value, argument, "an integer");
}

double to_double(Napi::Env env, Napi::Value value, const c10::Argument& argument) {
  if (!value.IsNumber()) refuse(env, value, argument, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (Instance::of(env).tensors.find(number)) refuse(env, value, argument, "a number");
  return number;
}

bool to_bool(Napi::Env env, Napi::Value value, const c10::Argument& argument) {
  if (!value.IsBoolean()) refuse(env, value, argument, "true or false");
  return value.As<Napi::Boolean>().Value();
}

// JavaScript has one number type: whole numbers become integers, as a Python literal without a point
// would be, so that `x.mul(2)` keeps an integer tensor an integer tensor. -0 keeps its sign.
IValue to_scalar(Napi::Env env, Napi::Value value, const c10::Argument& argument) {
  if (value.IsBoolean()) return IValue(value.As<Napi::Boolean>().Value());
  if (value.IsBigInt()) return IValue(to_int(env, value, argument));
  const double number = to_double(env, value, argument);
  const bool whole =
      std::floor(number) == number && std::fabs(number) <= kExactInteger && !(number == 0 && std::signbit(number));
  return whole ? IValue(static_cast<int64_t>(number)) : IValue(number);
}

IValue to_element(Napi::Env env, Napi::Value value, const c10::TypePtr& type, const c10::Argument& argument);

template <typename T, typename Convert> IValue to_list(Napi::Array array, Convert&& convert) {
  c10::List<T> list;
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(convert(array.Get(i)));
  return list;
}

IValue to_any_list(Napi::Env env, Napi::Value value, const c10::TypePtr& element, const c10::Argument& argument) {
  const TypeKind kind = element->kind();
  const bool integers = kind == TypeKind::IntType || kind == TypeKind::SymIntType;
  // int[2] stride=1: one number stands for all places, as in Python.
  if (argument.N() && value.IsNumber() && (integers || kind == TypeKind::FloatType)) {
    if (integers) {
      c10::List<int64_t> list;
      for (int32_t i = 0; i < *argument.N(); ++i) list.push_back(to_int(env, value, argument));
      return list;
    }
    c10::List<double> list;
    for (int32_t i = 0; i < *argument.N(); ++i) list.push_back(to_double(env, value, argument));
    return list;
  }
  if (!value.IsArray()) refuse(env, value, argument, "an array of " + type_name(element));
  Napi::Array array = value.As<Napi::Array>();
  if (integers) return to_list<int64_t>(array, [&](Napi::Value v) { return to_int(env, v, argument); });
  switch (kind) {
    case TypeKind::FloatType: return to_list<double>(array, [&](Napi::Value v) { return to_double(env, v, argument); });
    case TypeKind::BoolType: return to_list<bool>(array, [&](Napi::Value v) { return to_bool(env, v, argument); });
    case TypeKind::TensorType:
      return to_list<at::Tensor>(array,
                                 [&](Napi::Value v) { return to_element(env, v, element, argument).toTensor(); });
    case TypeKind::NumberType:
      return to_list<at::Scalar>(array, [&](Napi::Value v) { return to_scalar(env, v, argument).toScalar(); });
    case TypeKind::OptionalType: {
      const auto inner = element->castRaw<c10::OptionalType>()->getElementType();
      if (inner->kind() == TypeKind::TensorType) {
        return to_list<c10::optional<at::Tensor>>(array, [&](Napi::Value v) -> c10::optional<at::Tensor> {
          if (v.IsNull() || v.IsUndefined()) return c10::nullopt;
          return to_element(env, v, inner, argument).toTensor();
        });
      }
      break;
    }
    default: break;
  }
  refuse(env, value, argument, "no list of " + type_name(element) + ": that type is not supported");
}

IValue to_element(Napi::Env env, Napi::Value value, const c10::TypePtr& type, const c10::Argument& argument) {
  switch (type->kind()) {
    case TypeKind::TensorType: {
      if (value.IsNumber()) {
        OwnedTensor* owned = Instance::of(env).tensors.find(value.As<Napi::Number>().DoubleValue());
        if (owned) return IValue(owned->tensor);
      }
      refuse(env, value, argument, "a live tensor");
    }
    case TypeKind::OptionalType:
      if (value.IsNull() || value.IsUndefined()) return IValue();
      return to_element(env, value, type->castRaw<c10::OptionalType>()->getElementType(), argument);
    case TypeKind::IntType:
    case TypeKind::SymIntType:
    case TypeKind::ScalarTypeType:
    case TypeKind::LayoutType:
    case TypeKind::MemoryFormatType: return IValue(to_int(env, value, argument));
    case TypeKind::FloatType: return IValue(to_double(env, value, argument));
    case TypeKind::BoolType: return IValue(to_bool(env, value, argument));
    case TypeKind::NumberType: return to_scalar(env, value, argument);
    case TypeKind::StringType:
      if (!value.IsString()) refuse(env, value, argument, "a string");
      return IValue(value.As<Napi::String>().Utf8Value());
    case TypeKind::DeviceObjType:
      if (!value.IsString()) refuse(env, value, argument, "a device such as 'cpu' or 'cuda:0'");
      return IValue(c10::Device(value.As<Napi::String>().Utf8Value()));
    case TypeKind::GeneratorType: return IValue(generator_of(env, value, argument.name().c_str()));
    case TypeKind::ListType: return to_any_list(env, value, type->castRaw<c10::ListType>()->getElementType(), argument);
    default: refuse(env, value, argument, "no argument at all: the type " + type_name(type) + " is not supported");
  }
}

}  // namespace

bool is_supported(const c10::TypePtr& type) {
  switch (type->kind()) {
    case TypeKind::TensorType:
    case TypeKind::IntType:
    case TypeKind::SymIntType:
    case TypeKind::ScalarTypeType:
    case TypeKind::LayoutType:
    case TypeKind::MemoryFormatType:
    case TypeKind::FloatType:
    case TypeKind::BoolType:
    case TypeKind::NumberType:
    case TypeKind::StringType:
    case TypeKind::DeviceObjType:
    case TypeKind::GeneratorType: return true;
    case TypeKind::OptionalType: return is_supported(type->castRaw<c10::OptionalType>()->getElementType());
    case TypeKind::ListType: return is_supported(type->castRaw<c10::ListType>()->getElementType());
    default: return false;
  }
}

c10::IValue to_ivalue(Napi::Env env, Napi::Value value, const c10::Argument& argument) {
  return to_element(env, value, argument.type(), argument);
}

Napi::Value from_ivalue(Napi::Env env, const c10::IValue& value) {
  if (value.isTensor()) return wrap(env, value.toTensor());
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isString()) return Napi::String::New(env, value.toStringRef());
  if (value.isScalar()) {
    const at::Scalar scalar = value.toScalar();
    TORCH_CHECK(!scalar.isComplex(), "the result is a complex number, which JavaScript has no type for");
    return Napi::Number::New(env, scalar.toDouble());
  }
  if (value.isList()) {
    const auto list = value.toListRef();
    Napi::Array array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); ++i) array[static_cast<uint32_t>(i)] = from_ivalue(env, list[i]);
    return array;
  }
  if (value.isTuple()) {
    const auto& elements = value.toTupleRef().elements();
    Napi::Array array = Napi::Array::New(env, elements.size());
    for (size_t i = 0; i < elements.size(); ++i) array[static_cast<uint32_t>(i)] = from_ivalue(env, elements[i]);
    return array;
  }
  return env.Null();
}

}  // namespace mamba_prune
