// The addon's entry: lists every concern once.
#include "addon.h"
#include "handles.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  mamba_prune::guarded(env, "signals", [] { mamba_prune::init_signals(); });
  env.SetInstanceData(new mamba_prune::Instance());
  mamba_prune::init_tensor(env, exports);
  mamba_prune::init_dispatch(env, exports);
  mamba_prune::init_buffers(env, exports);
  mamba_prune::init_autograd(env, exports);
  mamba_prune::init_random(env, exports);
  mamba_prune::init_runtime(env, exports);
  mamba_prune::init_profile(env, exports);
  mamba_prune::init_store(env, exports);
  mamba_prune::init_distributed(env, exports);
  mamba_prune::init_images(env, exports);
#ifdef MAMBA_PRUNE_CUDA
  mamba_prune::init_cuda(env, exports);
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(mamba_prune, init)
