// The CUDA driver and NVRTC, found in the process and beside libtorch: nothing has to be linked or installed for them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace mamba_prune::cuda {

struct Driver {
  int (*module_load_data)(void** module, const void* image);
  int (*module_get_function)(void** function, void* module, const char* name);
  int (*launch_kernel)(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared_bytes, void* stream, void** arguments, void** extra);
  int (*set_attribute)(void* function, int attribute, int value);
  int (*max_active_clusters)(int* count, void* function, const void* config);
  int (*encode_tensor_map)(void* map, int type, uint32_t rank, void* address, const uint64_t* sizes,
                           const uint64_t* strides, const uint32_t* box, const uint32_t* element_strides,
                           int interleave, int swizzle, int promotion, int fill);
  int (*error_string)(int code, const char** text);
};

struct Nvrtc {
  int (*version)(int* major, int* minor);
  int (*create)(void** program, const char* source, const char* name, int headers, const char* const* contents,
                const char* const* names);
  int (*compile)(void* program, int count, const char* const* options);
  int (*destroy)(void** program);
  int (*log_size)(void* program, size_t* size);
  int (*log)(void* program, char* text);
  int (*cubin_size)(void* program, size_t* size);
  int (*cubin)(void* program, char* data);
  const char* (*error_string)(int code);
};

/** @throws c10::Error that names the library that is missing */
const Driver& driver();
const Nvrtc& nvrtc();

/** @throws c10::Error with the driver's own words unless the code is 0 */
void check_driver(int code, const char* what);

}  // namespace mamba_prune::cuda
