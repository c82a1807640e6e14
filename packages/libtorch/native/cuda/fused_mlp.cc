#include "fused_mlp.h"

#include <ATen/cuda/CUDAContext.h>

#include "kernel.h"
#include "kernels/fused_mlp_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda {

using at::Tensor;

namespace {

using mlp_kernel::kAlignment;
using mlp_kernel::kBiasBytes;
using MlpArgs = mlp_kernel::MlpArgs<void>;

constexpr int64_t kTile = mlp_kernel::kTile;
// Six leave the L1 cache enough for the rows of x, which are read in pieces of half a sector.
constexpr int64_t kStages = 6;

int64_t tiles_of(int64_t size) { return (size + kTile - 1) / kTile; }
int64_t padded(int64_t size, int64_t to) { return (size + to - 1) / to * to; }
int64_t number_bytes(int64_t model) { return mlp_kernel::number_bytes(static_cast<int>(model)); }
int64_t unit_bytes(int64_t model) { return mlp_kernel::unit_bytes(static_cast<int>(model)); }

// Where a product's number lies among the columns; see the kernel.
int64_t column_of(int64_t number) { return number / 32 * 32 + number % 8 / 2 * 8 + number / 8 % 4 * 2 + number % 2; }

// For every number of a unit its place in a row-major matrix [rows, columns] of which the unit consists. In shared
// memory 64 columns are a panel of `rows` times 128 bytes, and pieces of 16 bytes of a row are exchanged by its place
// among 8.
Tensor places(int64_t rows, int64_t columns) {
  const Tensor result = at::empty({rows * columns}, at::kLong);
  int64_t* to = result.data_ptr<int64_t>();
  for (int64_t panel = 0; panel < columns / kTile; panel++)
    for (int64_t row = 0; row < rows; row++)
      for (int64_t i = 0; i < kTile; i++) {
        const int64_t column = (i / 8 ^ row % 8) * 8 + i % 8;
        *to++ = column_of(row) * columns + column_of(panel * kTile + column);
      }
  return result;
}

// weight [k 64, model] with a bias for every row, as k units.
Tensor tall_units(const Tensor& weight, const Tensor& bias, at::ScalarType type) {
  const int64_t model = weight.size(1), count = weight.size(0) / kTile;
  const Tensor units = at::zeros({count, unit_bytes(model)}, weight.options().dtype(at::kByte));
  const Tensor numbers =
      weight.reshape({count, kTile * model}).index_select(1, places(kTile, model).to(weight.device()));
  units.narrow(1, 0, number_bytes(model)).copy_(numbers.to(type).view(at::kByte));
  Tensor order = at::empty({kTile}, at::kLong);
  for (int64_t i = 0; i < kTile; i++) order.data_ptr<int64_t>()[i] = column_of(i);
  const Tensor biases = bias.reshape({count, kTile}).index_select(1, order.to(weight.device()));
  units.narrow(1, number_bytes(model), kBiasBytes).copy_(biases.contiguous().view(at::kByte));
  return units;
}

// weight [model, k 64] as k units.
Tensor wide_units(const Tensor& weight, at::ScalarType type) {
  const int64_t model = weight.size(0), count = weight.size(1) / kTile;
  const Tensor units = at::zeros({count, unit_bytes(model)}, weight.options().dtype(at::kByte));
  const Tensor parts = weight.view({model, count, kTile}).transpose(0, 1).reshape({count, model * kTile});
  const Tensor numbers = parts.index_select(1, places(model, kTile).to(weight.device()));
  units.narrow(1, 0, number_bytes(model)).copy_(numbers.to(type).view(at::kByte));
  return units;
}

Tensor with_rows(const Tensor& t, int64_t rows) {
  Tensor result =
      at::zeros(t.dim() == 1 ? std::vector<int64_t>{rows} : std::vector<int64_t>{rows, t.size(1)}, t.options());
  result.narrow(0, 0, t.size(0)).copy_(t);
  return result;
}

}  // namespace

bool fused_mlp_runs(int64_t model, at::ScalarType type) {
  const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
  return device->major == 9 && device->minor == 0 && (type == at::kBFloat16 || type == at::kHalf) &&
         (model == 128 || model == 192);
}

int64_t warpgroups_for(int64_t rows) {
  return tiles_of(rows) <= at::cuda::getCurrentDeviceProperties()->multiProcessorCount ? 1 : 2;
}

int64_t cluster_of(int64_t warpgroups) { return warpgroups; }

int64_t blocks_for(int64_t rows) {
  const int64_t groups = warpgroups_for(rows), cluster = cluster_of(groups);
  const int64_t most = at::cuda::getCurrentDeviceProperties()->multiProcessorCount / cluster * cluster;
  return std::min(most, padded(ceil_div(rows, kTile * groups), cluster));
}

std::pair<int64_t, int64_t> fused_mlp_units_shape(int64_t model, int64_t neurons, int64_t next_columns) {
  return {2 * tiles_of(neurons) + tiles_of(next_columns), unit_bytes(model)};
}

Tensor fused_mlp_units(const Tensor& norm_weight, const Tensor& norm_bias, const Tensor& fc1, const Tensor& bias1,
                       const Tensor& fc2, const Tensor& next_weight, const Tensor& next_bias,
                       const Tensor& next_in_proj, at::ScalarType type) {
  const int64_t neurons = fc1.size(0), all = padded(neurons, kTile);
  const Tensor first =
      tall_units(with_rows(fc1 * norm_weight, all), with_rows(bias1 + times(fc1, norm_bias), all), type);
  const Tensor second = wide_units(with_rows(fc2.t(), all).t().contiguous(), type);
  // One of fc1, one of fc2, and so on.
  const Tensor units = at::stack({first, second}, 1).flatten(0, 1);
  if (!next_in_proj.defined()) return units;
  const int64_t channels = next_in_proj.size(0) / 2, width = padded(channels, 8);
  const Tensor halves = at::cat({with_rows(next_in_proj.narrow(0, 0, channels), width),
                                 with_rows(next_in_proj.narrow(0, channels, channels), width)});
  const Tensor in_proj = with_rows(halves, padded(2 * width, kTile));
  return at::cat({units, tall_units(in_proj * next_weight, times(in_proj, next_bias), type)});
}

void fused_mlp(const Tensor& x, const Tensor& units, const Tensor& bias2, int64_t neurons, double eps,
               const Tensor& out, const Tensor& next) {
  const int64_t model = x.size(-1), rows = x.numel() / model, next_width = next.defined() ? next.size(-1) : 0;
  if (rows == 0) return;
  MlpArgs a{};
  a.x = x.data_ptr(), a.units = static_cast<const unsigned char*>(units.data_ptr());
  a.bias = static_cast<const float*>(bias2.data_ptr()), a.out = out.data_ptr();
  a.next = next.defined() ? next.data_ptr() : nullptr;
  a.rows = static_cast<int>(rows), a.neuron_units = static_cast<int>(tiles_of(neurons));
  a.next_units = static_cast<int>(tiles_of(next_width)), a.next_width = static_cast<int>(next_width),
  a.eps = static_cast<float>(eps);
  const int64_t groups = warpgroups_for(rows);
  const Kernel& kernel = find_kernel("fused_mlp.cu", "fused_mlp",
                                     {{"SCALAR", scalar_code(x.scalar_type())},
                                      {"MODEL", model},
                                      {"NEXT", next.defined()},
                                      {"GROUPS", groups},
                                      {"CLUSTER", cluster_of(groups)},
                                      {"STAGES", kStages}});
  const auto shared =
      static_cast<unsigned>(kStages * unit_bytes(model) + kAlignment);  // the first unit begins at a multiple of that
  kernel.launch({static_cast<unsigned>(blocks_for(rows))},
                static_cast<unsigned>(mlp_kernel::threads_of(static_cast<int>(groups))), shared, a);
}

}  // namespace mamba_prune::cuda
