// What every header that host and device include needs. NVRTC has no standard headers, so that these headers include
// none; pointers to elements of the tensors' type are those of a template parameter, which is void on the host.
#pragma once

// Functions of both sides.
#ifdef __CUDACC__
#define MAMBA_PRUNE_BOTH __host__ __device__
#else
#define MAMBA_PRUNE_BOTH
#endif

// SCALAR, which the host defines for every kernel: the type of the tensors' elements.
#define MAMBA_PRUNE_FLOAT32 0
#define MAMBA_PRUNE_BFLOAT16 1
#define MAMBA_PRUNE_FLOAT16 2

// The host copies an argument byte for byte to where the kernel reads it: both compilers must lay it out alike.
#define MAMBA_PRUNE_CHECK_LAYOUT(Type, bytes)                                               \
  static_assert(sizeof(Type) == (bytes), #Type ": its size is not the sum of its members"); \
  static_assert(__is_trivially_copyable(Type), #Type ": a kernel's argument is copied as bytes")

namespace mamba_prune::cuda {
constexpr int kPadding = 4;  // after an odd number of members of 4 bytes
}  // namespace mamba_prune::cuda

static_assert(sizeof(void*) == 8 && sizeof(int) == 4 && sizeof(long long) == 8 && sizeof(float) == 4,
              "sizes that the layouts of the arguments are summed from");
