// Bytes of images to the numbers that a model takes, on the threads for images.
#pragma once

#include "bindings/addon.h"
#include "bindings/image_pool.h"

namespace mamba_prune {

// imageFloats(pixels, out, tables, flipped, channels, height, width, first image, images) -> a promise
Napi::Value image_floats(const Napi::CallbackInfo& info);

}  // namespace mamba_prune
