// Any operator by name, on libtorch's boxed stack.
#include "addon.h"
#include "convert.h"
#include "handles.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <deque>
#include <unordered_map>
#include <unordered_set>

namespace mamba_prune {

namespace {

struct Operator {
  c10::OperatorHandle handle;
  std::string name;  // aten::add.Tensor
  size_t arguments;
  bool in_place;  // returns only what it was given to write to: nothing new for JavaScript
};

// A leading underscore marks the private halves of public operators (`stack` checks, then calls
// `_stack`): they trust their caller, and fuzzing them ends the process in ever new places. Only those
// families that check for themselves and that have no public form are offered.
// The halves of our own operators, which autograd calls after these have checked, end in _forward and _backward.
bool is_private(const std::string& name) {
  if (name.rfind("mamba_prune::", 0) == 0) {
    const std::string ending = name.substr(name.rfind('_') + 1);
    return ending == "forward" || ending == "backward";
  }
  if (name.rfind("aten::_", 0) != 0) return false;
  return name != "aten::_to_copy" && name.rfind("aten::_foreach_", 0) != 0 && name.rfind("aten::_fused_", 0) != 0;
}

// Public operators that end the process on bad input instead of throwing: arguments of the right types
// made libtorch 1.13 crash inside them (found by fuzz.test.ts), and nothing here needs them.
bool is_unsafe(const std::string& name) {
  static const std::unordered_set<std::string> names{
      // a file, foreign memory, or metadata changed under a live tensor
      "aten::from_file",
      "aten::set_data",
      // no check of an empty list or tensor, of the number of dimensions, or of sizes that must agree
      "aten::align_tensors",
      "aten::batch_norm_update_stats",
      "aten::fractional_max_pool2d_backward",
      "aten::fractional_max_pool3d_backward",
      "aten::histogramdd",
      "aten::quantized_lstm_cell",
      "aten::quantized_gru_cell",
      "aten::quantized_rnn_relu_cell",
      "aten::quantized_rnn_tanh_cell",
      "aten::native_batch_norm",
      "aten::rrelu_with_noise",
      "aten::rrelu_with_noise_",
      "aten::lstm",
      "aten::gru",
      "aten::rnn_relu",
      "aten::rnn_tanh",
      "aten::unfold_backward",
      // no check of values used as indices, lengths or divisors
      "aten::native_channel_shuffle",
      "aten::choose_qparams_optimized",
      "aten::embedding_backward",
      "aten::embedding_bag",
      "aten::embedding_dense_backward",
      "aten::embedding_sparse_backward",
      "aten::matrix_exp_backward",
      "aten::pixel_shuffle",
      "aten::pixel_unshuffle",
  };
  return names.count(name) > 0;
}

// What the boxed call takes on trust: numbers that stand for enumerations, which libtorch uses as an
// index into its tables, and lists of fixed length, which kernels read without a look at the length.
void check_trusted(const c10::Argument& argument, c10::IValue& value) {
  if (value.isInt()) {
    const std::string& name = argument.name();
    const int64_t number = value.toInt();
    const int64_t end = name == "dtype"           ? static_cast<int64_t>(c10::ScalarType::NumOptions)
                        : name == "layout"        ? static_cast<int64_t>(c10::Layout::NumOptions)
                        : name == "memory_format" ? static_cast<int64_t>(c10::MemoryFormat::ChannelsLast3d) + 1
                                                  : 0;
    TORCH_CHECK(end == 0 || (number >= 0 && number < end), "argument '", name, "': got ", number,
                ", expected the name of a ", name);
    return;
  }
  if (!value.isIntList() || !argument.N() || *argument.N() < 2) return;  // int[1] means a list of any length
  const size_t wanted = static_cast<size_t>(*argument.N());
  c10::List<int64_t> list = value.toIntList();
  if (list.size() == wanted) return;
  // stride=[] of the pooling operators: the size of the window
  const auto& preset = argument.default_value();
  if (list.empty() && preset && preset->isIntList() && preset->toIntList().empty()) return;
  TORCH_CHECK(list.size() == 1, "argument '", argument.name(), "': got ", list.size(), " numbers, expected ", wanted);
  const int64_t single = list.get(0);
  c10::List<int64_t> repeated;
  for (size_t i = 0; i < wanted; ++i) repeated.push_back(single);
  value = std::move(repeated);
}

Operator resolve(const std::string& name, const std::string& overload) {
  TORCH_CHECK(!is_private(name),
              "this operator is private and does not check its arguments: it can end the process on "
              "bad input and is not offered. Call the public one of that name.");
  TORCH_CHECK(!is_unsafe(name), "this operator can end the process on bad input and is not offered");
  auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  TORCH_CHECK(handle.has_value(), "no such operator in libtorch ", "(", name, overload.empty() ? "" : ".", overload,
              ")");
  const c10::FunctionSchema& schema = handle->schema();
  TORCH_CHECK(!schema.is_vararg() && !schema.is_varret(),
              "operators with a variable number of arguments are not supported");
  bool in_place = !schema.returns().empty();
  for (const c10::Argument& argument : schema.arguments()) {
    TORCH_CHECK(is_supported(argument.type()), "argument '", argument.name(), "' has the type ",
                argument.type()->repr_str(), ", which JavaScript has no value for");
  }
  for (const c10::Argument& result : schema.returns()) {
    in_place = in_place && result.alias_info() != nullptr && result.alias_info()->isWrite();
  }
  const size_t arguments = schema.arguments().size();
  return Operator{*handle, overload.empty() ? name : name + "." + overload, arguments, in_place};
}

// Operators found so far, by the number JavaScript calls them with; a deque, because a reference to one
// must outlive the finding of another.
std::deque<Operator>& operators() {
  thread_local std::deque<Operator> list;
  return list;
}

std::string describe_arguments(const torch::jit::Stack& stack, const c10::FunctionSchema& schema) {
  std::string text;
  for (size_t i = 0; i < stack.size() && i < schema.arguments().size(); ++i) {
    const c10::IValue& value = stack[i];
    if (!value.isTensor() && !value.isTensorList()) continue;
    text += (text.empty() ? "" : ", ") + schema.arguments()[i].name() + " ";
    if (value.isTensor()) {
      text += describe(value.toTensor());
    } else {
      const auto list = value.toTensorVector();
      text +=
          "[" + std::to_string(list.size()) + " tensors" + (list.empty() ? "" : ", first " + describe(list[0])) + "]";
    }
  }
  return text;
}

// resolve(name, overload) -> number for call()
Napi::Value resolve_operator(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  const std::string overload = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  return guarded(env, name.empty() ? "resolve" : name, [&]() -> Napi::Value {
    operators().push_back(resolve(name, overload));
    return Napi::Number::New(env, static_cast<double>(operators().size() - 1));
  });
}

// call(operator, arguments) -> handle, number, array ... or undefined for an in-place operator
Napi::Value call(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const double id = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (!(id >= 0 && id < static_cast<double>(operators().size()))) {
    throw Napi::TypeError::New(env, "call: got " + describe(info[0]) + ", expected the number of a resolved operator");
  }
  const Operator& op = operators()[static_cast<size_t>(id)];
  const c10::FunctionSchema& schema = op.handle.schema();
  torch::jit::Stack stack;
  std::string given;
  try {
    if (!info[1].IsArray()) {
      throw Napi::TypeError::New(env, "got " + describe(info[1]) + ", expected an array of arguments");
    }
    Napi::Array arguments = info[1].As<Napi::Array>();
    const uint32_t count = arguments.Length();
    if (count > op.arguments) {
      throw Napi::TypeError::New(
          env, "got " + std::to_string(count) + " arguments, expected at most " + std::to_string(op.arguments));
    }
    stack.reserve(op.arguments);
    for (size_t i = 0; i < op.arguments; ++i) {
      const c10::Argument& argument = schema.arguments()[i];
      Napi::Value value = i < count ? arguments.Get(static_cast<uint32_t>(i)) : env.Undefined();
      if (value.IsUndefined()) {
        if (argument.default_value()) {
          stack.push_back(*argument.default_value());
          continue;
        }
        if (argument.type()->kind() == c10::TypeKind::OptionalType) {
          stack.emplace_back();
          continue;
        }
        throw Napi::TypeError::New(
            env, "argument '" + argument.name() + "' is missing; expected " + argument.type()->repr_str());
      }
      stack.push_back(to_ivalue(env, value, argument));
      check_trusted(argument, stack.back());
    }
    // Taken before the call, which consumes the stack; only paid for when it fails.
    torch::jit::Stack kept;
    try {
      kept = stack;
      op.handle.callBoxed(&stack);
    } catch (...) {
      given = describe_arguments(kept, schema);
      throw;
    }
    kept.clear();
    if (op.in_place || stack.empty()) return env.Undefined();
    if (stack.size() == 1) return from_ivalue(env, stack[0]);
    Napi::Array results = Napi::Array::New(env, stack.size());
    for (size_t i = 0; i < stack.size(); ++i) results[static_cast<uint32_t>(i)] = from_ivalue(env, stack[i]);
    return results;
  } catch (const Napi::Error& error) {
    throw Napi::TypeError::New(env, op.name + ": " + error.Message());
  } catch (const c10::Error& error) {
    throw Napi::Error::New(env, op.name + ": " + message_of(error) + (given.empty() ? "" : "\n  given: " + given));
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, op.name + ": out of memory" + (given.empty() ? "" : "\n  given: " + given));
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, op.name + ": " + error.what() + (given.empty() ? "" : "\n  given: " + given));
  } catch (...) {
    throw Napi::Error::New(env, op.name + ": unknown native error");
  }
}

Napi::Object argument_to_object(Napi::Env env, const c10::Argument& argument) {
  Napi::Object result = Napi::Object::New(env);
  result["name"] = Napi::String::New(env, argument.name());
  result["type"] = Napi::String::New(env, argument.type()->repr_str());
  // A dtype is an int to the boxed stack; the real type says so where libtorch keeps it (2.x).
  result["keywordOnly"] = Napi::Boolean::New(env, argument.kwarg_only());
  result["length"] = argument.N() ? Napi::Value(Napi::Number::New(env, *argument.N())) : Napi::Value(env.Null());
  result["hasDefault"] = Napi::Boolean::New(env, argument.default_value().has_value());
  result["written"] = Napi::Boolean::New(env, argument.alias_info() != nullptr && argument.alias_info()->isWrite());
  return result;
}

// schemas(namespace) -> every operator of a namespace, for the generator of the types and for tests
Napi::Value schemas(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "schemas", [&]() -> Napi::Value {
    const std::string wanted = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() + "::" : "aten::";
    Napi::Array list = Napi::Array::New(env);
    uint32_t count = 0;
    for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
      if (name.name.rfind(wanted, 0) != 0) continue;
      auto handle = c10::Dispatcher::singleton().findSchema(name);
      if (!handle) continue;
      const c10::FunctionSchema& schema = handle->schema();
      Napi::Object entry = Napi::Object::New(env);
      entry["name"] = Napi::String::New(env, name.name);
      entry["overload"] = Napi::String::New(env, name.overload_name);
      Napi::Array arguments = Napi::Array::New(env), returns = Napi::Array::New(env);
      for (const c10::Argument& a : schema.arguments()) arguments[arguments.Length()] = argument_to_object(env, a);
      for (const c10::Argument& r : schema.returns()) returns[returns.Length()] = argument_to_object(env, r);
      entry["arguments"] = arguments;
      entry["returns"] = returns;
      list[count++] = entry;
    }
    return list;
  });
}

}  // namespace

void init_dispatch(Napi::Env env, Napi::Object exports) {
  exports["resolve"] = Napi::Function::New(env, resolve_operator, "resolve");
  exports["call"] = Napi::Function::New(env, call, "call");
  exports["schemas"] = Napi::Function::New(env, schemas, "schemas");
}

}  // namespace mamba_prune
