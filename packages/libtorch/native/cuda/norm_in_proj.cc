#include "norm_in_proj.h"

#include <algorithm>

#include "kernel.h"
#include "kernels/norm_in_proj_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {

using at::Tensor;

namespace {

constexpr int64_t kInProjStages = 6, kMostInProjGroups = 3;

// Warpgroups that share the weights: as many as leave the fewest multiprocessors without work at the end.
int64_t in_proj_groups(int64_t rows) {
  int64_t best = 1, least = 0;
  for (int64_t groups = 1; groups <= kMostInProjGroups; groups++) {
    const int64_t time = ceil_div(ceil_div(rows, in_proj_kernel::kTile * groups), multiprocessors()) * groups;
    if (groups == 1 || time <= least) best = groups, least = time;
  }
  return best;
}

}  // namespace

bool norm_in_proj_runs(const Tensor& x, const Tensor& norm_weight, const Tensor& in_proj) {
  if (const char* t = std::getenv("MP_INPROJ"))
    if (*t == '0') return false;
  const cudaDeviceProp* device = at::cuda::getCurrentDeviceProperties();
  const auto aligned = [](const Tensor& t) { return reinterpret_cast<uintptr_t>(t.data_ptr()) % 16 == 0; };
  return device->major == 9 && device->minor == 0 && in_proj.scalar_type() != at::kFloat &&
         (x.size(-1) == 128 || x.size(-1) == 192) && in_proj.size(0) % 8 == 0 && x.is_contiguous() && aligned(x) &&
         aligned(norm_weight) && aligned(in_proj) && x.numel() / x.size(-1) < int64_t{1} << 31;
}

void norm_in_proj(const Tensor& x, const Tensor& norm_weight, double eps, const Tensor& in_proj, const Tensor& out) {
  namespace k = in_proj_kernel;
  const int64_t model = x.size(-1), rows = x.numel() / model;
  if (rows == 0) return;
  k::InProjArgs<void> a{};
  a.x = float_pointer(x), a.norm = float_pointer(norm_weight), a.weight = pointer(in_proj), a.out = pointer(out);
  a.rows = static_cast<int>(rows), a.columns = static_cast<int>(in_proj.size(0)), a.eps = static_cast<float>(eps);
  int64_t groups = in_proj_groups(rows);
  if (const char* t = std::getenv("MP_INPROJ")) groups = *t - '0';
  const Kernel& kernel = find_kernel("norm_in_proj.cu", "norm_in_proj",
                                     {{"SCALAR", scalar_code(in_proj.scalar_type())},
                                      {"MODEL", model},
                                      {"GROUPS", groups},
                                      {"STAGES", kInProjStages}});
  const int64_t tiles = ceil_div(rows, k::kTile * groups);
  kernel.launch({u32(std::min<int64_t>(tiles, multiprocessors()))}, u32(k::threads_of(static_cast<int>(groups))),
                u32(kInProjStages * k::unit_bytes(static_cast<int>(model)) + k::kAlignment), a);
}

}  // namespace mamba_prune::cuda
