// Scratch: kernels of a region by CUPTI through libtorch's profiler, in this process.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/library.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace mamba_prune::cuda::trial_op {
using namespace torch::profiler::impl;
at::Tensor trial_profile(const at::Tensor& x, int64_t on) {
  if (on == 1) {
    const ProfilerConfig config(ProfilerState::KINETO);
    const std::set<ActivityType> activities{ActivityType::CUDA};
    torch::autograd::profiler::prepareProfiler(config, activities);
    torch::autograd::profiler::enableProfiler(config, activities);
  } else {
    const auto result = torch::autograd::profiler::disableProfiler();
    std::map<std::string, std::pair<double, int>> sums;
    std::vector<std::pair<uint64_t, uint64_t>> spans;
    for (const auto& e : result->events()) {
      if (e.deviceType() != c10::DeviceType::CUDA) continue;
      auto& s = sums[e.name()];
      s.first += static_cast<double>(e.durationNs()) * 1e-3, s.second++;
      spans.emplace_back(e.startNs(), e.startNs() + e.durationNs());
    }
    std::vector<std::pair<double, std::string>> order;
    double all = 0;
    for (const auto& [name, s] : sums) order.emplace_back(-s.first, name), all += s.first;
    std::sort(order.begin(), order.end());
    std::sort(spans.begin(), spans.end());
    double gaps = 0;
    uint64_t end = spans.empty() ? 0 : spans[0].second;
    for (const auto& [a, b] : spans) {
      if (a > end) gaps += static_cast<double>(a - end) * 1e-3;
      end = std::max(end, b);
    }
    std::printf("profile: %zu launches, sum %.0f us, idle between %.0f us, span %.0f us\n", spans.size(), all, gaps,
                spans.empty() ? 0.0 : static_cast<double>(end - spans[0].first) * 1e-3);
    for (const auto& [t, name] : order)
      std::printf("%9.1f us %5d x %7.1f  %.110s\n", -t, sums[name].second, -t / sums[name].second, name.c_str());
    std::fflush(stdout);
  }
  return x;
}
TORCH_LIBRARY_FRAGMENT(mamba_prune, m) { m.def("trial_profile(Tensor x, int on) -> Tensor"); }
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) { m.impl("trial_profile", trial_profile); }
}  // namespace mamba_prune::cuda::trial_op
