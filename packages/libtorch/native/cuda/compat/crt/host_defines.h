// Stands in for CUDA's header of this name, which pip's nvidia-cuda-runtime includes but does not bring along. Its
// other headers only use these words to mark declarations for nvcc; to a C++ compiler they say little or nothing.
#ifndef __HOST_DEFINES_H__
#define __HOST_DEFINES_H__
#define __no_return__ __attribute__((noreturn))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __specialization_static
#define __host__
#define __device__
#define __global__
#define __shared__
#define __constant__
#define __managed__
#define __grid_constant__
#define __builtin_align__(n) __align__(n)
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define CUDARTAPI
#define CUDARTAPI_CDECL
#define __CUDA_DEPRECATED
#endif
