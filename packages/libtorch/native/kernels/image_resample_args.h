// What the resampling of images takes. No torch headers: the kernel is compiled for newer instruction sets.
#pragma once
#include <cstdint>
#include <cstring>

namespace mamba_prune {

// Which input lines each output line of an axis is made of, with weights of 22 fractional bits.
struct LineWeights {
  const int32_t* starts;   // [outputs], counted from the first line that there is
  const int32_t* counts;   // [outputs]
  const int32_t* weights;  // [outputs, taps]
  int64_t taps, outputs;
};

}  // namespace mamba_prune
