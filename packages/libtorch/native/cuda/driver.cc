#include "driver.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <initializer_list>
#include <string>

namespace mamba_prune::cuda {

namespace {

template <class F> void take(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  TORCH_CHECK(function != nullptr, "CUDA: the library has no ", name, ": ", dlerror());
}

void* open_any(std::initializer_list<std::string> names) {
  for (const std::string& name : names)
    if (void* library = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL)) return library;
  return nullptr;
}

// libtorch brings a small library that depends on the NVRTC it was built with; symbols are looked up through it.
std::string beside_libtorch(const char* name) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&at::cuda::getCurrentDeviceProperties), &info) == 0 || !info.dli_fname)
    return name;
  const std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

}  // namespace

const Driver& driver() {
  static const Driver loaded = [] {
    void* library = open_any({"libcuda.so.1"});
    TORCH_CHECK(library, "CUDA: the driver's library libcuda.so.1 does not load: ", dlerror());
    Driver d{};
    take(library, "cuModuleLoadData", d.module_load_data);
    take(library, "cuModuleGetFunction", d.module_get_function);
    take(library, "cuLaunchKernel", d.launch_kernel);
    take(library, "cuFuncSetAttribute", d.set_attribute);
    // Drivers that know of no clusters are older than any GPU that has them.
    d.max_active_clusters =
        reinterpret_cast<decltype(d.max_active_clusters)>(dlsym(library, "cuOccupancyMaxActiveClusters"));
    // Nor of the copies that came with them.
    d.encode_tensor_map = reinterpret_cast<decltype(d.encode_tensor_map)>(dlsym(library, "cuTensorMapEncodeTiled"));
    take(library, "cuGetErrorString", d.error_string);
    return d;
  }();
  return loaded;
}

const Nvrtc& nvrtc() {
  static const Nvrtc loaded = [] {
    void* library =
        open_any({beside_libtorch("libcaffe2_nvrtc.so"), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"});
    TORCH_CHECK(library,
                "CUDA: NVRTC, which compiles our kernels, was not found beside libtorch nor on the library path. "
                "Install nvidia-cuda-nvrtc with the pip that installed torch.");
    Nvrtc n{};
    take(library, "nvrtcVersion", n.version);
    take(library, "nvrtcCreateProgram", n.create);
    take(library, "nvrtcCompileProgram", n.compile);
    take(library, "nvrtcDestroyProgram", n.destroy);
    take(library, "nvrtcGetProgramLogSize", n.log_size);
    take(library, "nvrtcGetProgramLog", n.log);
    take(library, "nvrtcGetCUBINSize", n.cubin_size);
    take(library, "nvrtcGetCUBIN", n.cubin);
    take(library, "nvrtcGetErrorString", n.error_string);
    return n;
  }();
  return loaded;
}

void check_driver(int code, const char* what) {
  if (code == 0) return;
  const char* text = nullptr;
  driver().error_string(code, &text);
  TORCH_CHECK(false, "CUDA: ", what, " failed: ", text ? text : "unknown error", " (", code, ")");
}

}  // namespace mamba_prune::cuda
