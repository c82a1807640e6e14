// The causal convolution on CUDA: the launches of conv.cu.
#include <ATen/cuda/CUDAContext.h>

#include <algorithm>

#include "kernel.h"
#include "kernels/conv_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

namespace {

using at::Tensor;
// On the host the type of the elements is not known.
using ConvArgs = conv_kernel::ConvArgs<void>;

ConvArgs forward_args(const Conv& c, const Tensor& y) {
  ConvArgs a{};
  a.x = pointer(c.x), a.weight = float_pointer(c.weight), a.bias = float_pointer(c.bias), a.y = pointer(y);
  a.x_row = row(c.x), a.y_row = row(y);
  a.batch = static_cast<int>(y.size(0)), a.length = static_cast<int>(y.size(1));
  a.channels = static_cast<int>(c.weight.size(0)), a.width = static_cast<int>(y.size(-1));
  return a;
}

template <class Args> void launch_conv_forward(const Conv& c, const Args& a, int64_t vector, int64_t directions) {
  if (a.batch == 0) return;
  const unsigned threads = 128;
  const int64_t run = 16;
  const Kernel& kernel = find_kernel("conv.cu", "conv_forward",
                                     {{"SCALAR", scalar_code(c.x.scalar_type())},
                                      {"TAPS", c.weight.size(1)},
                                      {"VECTOR", vector},
                                      {"REVERSE", c.reverse},
                                      {"HAS_BIAS", c.bias.defined()},
                                      {"SILU", c.silu},
                                      {"THREADS", threads},
                                      {"RUN", run},
                                      {"WHOLE_RUNS", a.length % run == 0},
                                      {"DIRECTIONS", directions}});
  kernel.launch({u32(ceil_div(a.width / vector * ceil_div(a.length, run) * a.batch, threads))}, threads, 0, a);
}

}  // namespace

void conv_forward(const Conv& c, const Tensor& y) {
  launch_conv_forward(c, forward_args(c, y), vector_of({c.x, y}, y.size(-1)), 1);
}

void conv_forward_both(const Conv& c, const Conv& back, const Tensor& y, const Tensor& back_y) {
  conv_kernel::ConvBothArgs<void> all{};
  static_cast<ConvArgs&>(all) = forward_args(c, y);
  all.back_weight = float_pointer(back.weight), all.back_bias = float_pointer(back.bias), all.back_y = pointer(back_y);
  launch_conv_forward(c, all, vector_of({c.x, y, back_y}, y.size(-1)), 2);
}

namespace {
// Whether rows come into shared memory on their way. Copies into it came with compute capability 8.0.
bool rows_come_by_copies(const Conv& c, const Tensor& dy, const Tensor& dx) {
  const int64_t width = dx.size(-1);
  return at::cuda::getCurrentDeviceProperties()->major >= 8 && c.x.element_size() == 2 && c.weight.size(1) <= 4 &&
         vector_of({c.x, dy, dx}, width, 2) == 2 && vector_of({c.x, dy}, width, 8) == 8;
}
}  // namespace

bool conv_backward_adds(const Conv& c, const Tensor& dy, const Tensor& dx, int64_t columns) {
  return rows_come_by_copies(c, dy, dx) && columns % 16 == 0 && columns <= 64;
}

std::pair<Tensor, Tensor> conv_backward(const Conv& c, const Tensor& dy, const Tensor& dx, bool add,
                                        const Through& through) {
  const int64_t width = dx.size(-1), batch = dx.size(0), length = dx.size(1),
                vector = vector_of({c.x, dy, dx}, width, 2);
  const int64_t channels = c.weight.size(0), taps = c.weight.size(1);
  const int64_t projected = through.gradient.defined() ? through.gradient.size(-1) : 0;
  const unsigned threads = 128;
  const bool ring = rows_come_by_copies(c, dy, dx);
  const int64_t across = ceil_div(width / vector, conv_kernel::kBackwardGroups), warps = threads / 32;
  // Blocks of a multiprocessor. With the projections' rows and weights its shared memory has room for five.
  const int64_t resident = projected > 0 ? 5 : taps <= 4 ? 6 : 1;
  // The longer the runs, the less is computed at both of two neighbours' ends; but every multiprocessor wants some
  // warps.
  const bool enough = across * batch * ceil_div(length, 64) >= int64_t{16} * multiprocessors();
  const int64_t runs = ceil_div(length, enough ? 64 : 32), run = ceil_div(length, runs);
  // As many blocks as the GPU holds at a time, whose warps have as many runs each: fewer partial sums.
  const int64_t most = std::max<int64_t>(1, resident * multiprocessors() / across);
  const int64_t per = std::max<int64_t>(1, ceil_div(batch * runs, most * warps));
  const int64_t rows = std::max<int64_t>(1, ceil_div(batch * runs, per * warps));
  const Tensor partial = at::empty({rows, (taps + 1) * channels}, floats(c.x));
  conv_kernel::ConvThroughArgs<void> a{};
  a.x = pointer(c.x), a.dy = pointer(dy), a.weight = float_pointer(c.weight), a.bias = float_pointer(c.bias),
  a.dx = pointer(dx), a.dprojected = pointer(through.gradient), a.projection = pointer(through.weight);
  a.partial = float_pointer(partial), a.x_row = row(c.x), a.dy_row = row(dy), a.dx_row = row(dx);
  a.batch = static_cast<int>(batch), a.length = static_cast<int>(length), a.channels = static_cast<int>(channels);
  a.width = static_cast<int>(width), a.run = static_cast<int>(run);
  const Kernel& kernel = find_kernel("conv.cu", "conv_backward",
                                     {{"SCALAR", scalar_code(c.x.scalar_type())},
                                      {"TAPS", taps},
                                      {"VECTOR", vector},
                                      {"REVERSE", c.reverse},
                                      {"HAS_BIAS", c.bias.defined()},
                                      {"SILU", c.silu},
                                      {"THREADS", threads},
                                      {"BLOCKS", resident},
                                      {"RING", ring},
                                      {"PROJECTED", projected},
                                      {"ADD_DX", add}});
  const Grid grid{u32(across), u32(rows)};
  if (projected > 0) kernel.launch(grid, threads, 0, a);
  else kernel.launch(grid, threads, 0, static_cast<const ConvArgs&>(a));
  const Tensor sums = reduce_rows(partial);
  return {sums.narrow(0, 0, channels * taps).view({channels, taps}), sums.narrow(0, channels * taps, channels)};
}

}  // namespace mamba_prune::cuda
