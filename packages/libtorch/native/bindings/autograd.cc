// Gradients: the recording switch, backward and the functional form.
#include "addon.h"
#include "handles.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

namespace mamba_prune {

namespace {

torch::autograd::variable_list tensor_list(Napi::Env env, Napi::Value value, const char* what) {
  torch::autograd::variable_list list;
  if (value.IsNull() || value.IsUndefined()) return list;
  if (!value.IsArray()) {
    throw Napi::TypeError::New(env, std::string(what) + ": got " + describe(value) + ", expected an array of tensors");
  }
  Napi::Array array = value.As<Napi::Array>();
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); ++i) {
    Napi::Value item = array.Get(i);
    list.push_back(item.IsNull() ? at::Tensor() : tensor_of(env, item, what));
  }
  return list;
}

bool flag(Napi::Value value) { return value.IsBoolean() && value.As<Napi::Boolean>().Value(); }

void require_grad_fn(const torch::autograd::variable_list& roots) {
  for (const at::Tensor& root : roots) {
    TORCH_CHECK(root.requires_grad(), "got a tensor ", describe(root),
                " that does not require grad, expected the result of operations on tensors that do. "
                "Was it made inside noGrad, or detached?");
  }
}

// setGradMode(on) -> what it was
Napi::Value set_grad_mode(const Napi::CallbackInfo& info) {
  const bool before = c10::GradMode::is_enabled();
  if (info[0].IsBoolean()) c10::GradMode::set_enabled(info[0].As<Napi::Boolean>().Value());
  return Napi::Boolean::New(info.Env(), before);
}

// backward(tensors, gradients | null, retainGraph, createGraph)
void backward(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "backward", [&] {
    auto roots = tensor_list(env, info[0], "backward");
    auto gradients = tensor_list(env, info[1], "backward");
    require_grad_fn(roots);
    torch::autograd::backward(roots, gradients, flag(info[2]), flag(info[3]));
  });
}

// gradients(outputs, inputs, outputGradients | null, retainGraph, createGraph, allowUnused) -> handles, null where
// unused
Napi::Value gradients(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "grad", [&]() -> Napi::Value {
    auto outputs = tensor_list(env, info[0], "grad");
    auto inputs = tensor_list(env, info[1], "grad");
    auto output_gradients = tensor_list(env, info[2], "grad");
    TORCH_CHECK(!inputs.empty(), "got no inputs, expected at least one tensor to differentiate by");
    require_grad_fn(outputs);
    require_grad_fn(inputs);
    auto result = torch::autograd::grad(outputs, inputs, output_gradients, flag(info[3]), flag(info[4]), flag(info[5]));
    Napi::Array array = Napi::Array::New(env, result.size());
    for (size_t i = 0; i < result.size(); ++i) array[static_cast<uint32_t>(i)] = wrap(env, result[i]);
    return array;
  });
}

Napi::Value get_grad(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  return guarded(env, "grad", [&] {
    const at::Tensor& tensor = tensor_of(env, info[0], "grad");
    // Reading .grad of a non-leaf makes libtorch print a warning; there is nothing there to read.
    return wrap(env, tensor.is_leaf() ? tensor.grad() : at::Tensor());
  });
}

void set_grad(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "grad", [&] {
    at::Tensor& tensor = tensor_of(env, info[0], "grad");
    if (info[1].IsNull() || info[1].IsUndefined()) {
      if (tensor.is_leaf()) tensor.mutable_grad() = at::Tensor();
      return;
    }
    const at::Tensor& value = tensor_of(env, info[1], "grad");
    TORCH_CHECK(value.sizes() == tensor.sizes() && value.scalar_type() == tensor.scalar_type() &&
                    value.device() == tensor.device(),
                "got ", describe(value), ", expected a gradient like its tensor, ", describe(tensor));
    tensor.mutable_grad() = value;
  });
}

void set_requires_grad(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  guarded(env, "requiresGrad", [&] { tensor_of(env, info[0], "requiresGrad").set_requires_grad(flag(info[1])); });
}

}  // namespace

void init_autograd(Napi::Env env, Napi::Object exports) {
  exports["setGradMode"] = Napi::Function::New(env, set_grad_mode, "setGradMode");
  exports["backward"] = Napi::Function::New(env, backward, "backward");
  exports["gradients"] = Napi::Function::New(env, gradients, "gradients");
  exports["getGrad"] = Napi::Function::New(env, get_grad, "getGrad");
  exports["setGrad"] = Napi::Function::New(env, set_grad, "setGrad");
  exports["setRequiresGrad"] = Napi::Function::New(env, set_requires_grad, "setRequiresGrad");
}

}  // namespace mamba_prune
