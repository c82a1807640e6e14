// What the binding files share. Each file under bindings/ holds one concern and exposes one init
// function; bindings.cc lists them. Only this folder knows of Node; kernels/ knows only of ATen.
#pragma once

#include <napi.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/Generator.h>

#include <string>

namespace mamba_prune {

void init_dispatch(Napi::Env env, Napi::Object exports);
void init_tensor(Napi::Env env, Napi::Object exports);
void init_buffers(Napi::Env env, Napi::Object exports);
void init_autograd(Napi::Env env, Napi::Object exports);
void init_random(Napi::Env env, Napi::Object exports);
void init_runtime(Napi::Env env, Napi::Object exports);
void init_profile(Napi::Env env, Napi::Object exports);
void init_store(Napi::Env env, Napi::Object exports);
void init_distributed(Napi::Env env, Napi::Object exports);
void init_images(Napi::Env env, Napi::Object exports);
void init_buckets(Napi::Env env, Napi::Object exports);
// Before any of libtorch's threads is started: blocks signals on the thread that loads the addon.
void init_signals();
// Where libtorch has CUDA.
void init_cuda(Napi::Env env, Napi::Object exports);

// What libtorch says of an error, without its stack and without the advice for those who debug libtorch, which it adds
// to every error of CUDA.
std::string message_of(const c10::Error& error);

// Runs `body` and turns every C++ exception into a JavaScript Error whose message begins with `where`.
// Nothing native may cross the boundary: an uncaught C++ exception ends the process.
template <typename Body> auto guarded(Napi::Env env, const std::string& where, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const c10::Error& error) {
    throw Napi::Error::New(env, where + ": " + message_of(error));
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, where + ": out of memory");
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, where + ": " + error.what());
  } catch (...) {
    throw Napi::Error::New(env, where + ": unknown native error");
  }
}

// Blocks signals in the threads that an operator may use from now on, also those that another addon's OpenMP
// started before this one was loaded.
void shield_team();

// "float32[2, 3] cpu", for messages.
std::string describe(const at::Tensor& tensor);

const char* dtype_name(at::ScalarType type);
// Throws c10::Error that lists the known names.
at::ScalarType dtype_from_name(const std::string& name);

}  // namespace mamba_prune
