// mamba_prune::orthogonalize: Newton-Schulz iterations on several stacks of matrices, side by side. A stack is some
// twenty launches that wait for one another, and those of a pruned model leave most of the GPU idle.
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <vector>

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using c10::cuda::CUDAStream;

constexpr size_t kLanes = 4;  // stacks at a time, one of them on the current stream

// Those of a device are always the same, so that each keeps one workspace of cuBLAS.
const std::vector<CUDAStream>& side_streams() {
  static std::mutex mutex;
  static auto* all = new std::map<c10::DeviceIndex, std::vector<CUDAStream>>();
  const std::lock_guard<std::mutex> lock(mutex);
  std::vector<CUDAStream>& streams = (*all)[c10::cuda::current_device()];
  while (streams.size() < kLanes - 1) streams.push_back(c10::cuda::getStreamFromPool());
  return streams;
}

// As `orthogonalized` of optim/muon.ts, which says what it is.
Tensor iterate(const Tensor& matrices, at::ArrayRef<double> coefficients, int64_t steps, double least) {
  const bool tall = matrices.size(1) > matrices.size(2);
  Tensor x = (tall ? matrices.transpose(1, 2) : matrices).to(at::kBFloat16);
  const Tensor norms = at::linalg_vector_norm(matrices, 2, at::IntArrayRef({1, 2}), true).clamp(least);
  x = x.div(norms.to(x.scalar_type()));
  for (int64_t step = 0; step < steps; step++) {
    const Tensor square = x.matmul(x.transpose(1, 2));
    const Tensor polynomial = at::baddbmm(square, square, square, coefficients[1], coefficients[2]);
    x = at::baddbmm(x, polynomial, x, coefficients[0], 1);
  }
  return (tall ? x.transpose(1, 2) : x).to(matrices.scalar_type());
}

std::vector<Tensor> orthogonalize(at::TensorList stacks, at::ArrayRef<double> coefficients, int64_t steps,
                                  double least) {
  TORCH_CHECK(coefficients.size() == 3, "orthogonalize: got ", coefficients.size(), " coefficients, expected 3.");
  for (const Tensor& t : stacks)
    TORCH_CHECK(t.dim() == 3 && t.device() == stacks[0].device(), "orthogonalize: got a stack of shape ", t.sizes(),
                " on ", t.device(), ", expected [count, rows, columns] on ", stacks[0].device(), ".");
  std::vector<Tensor> results(stacks.size());
  if (stacks.empty()) return results;
  const c10::DeviceGuard guard(stacks[0].device());
  // The largest first, each to whoever has the least to do.
  std::vector<size_t> order(stacks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto work = [&](size_t i) {
    // What any stack waits for, in numbers of the matrices.
    constexpr int64_t kOfLaunches = 1 << 20;
    return kOfLaunches + stacks[i].numel() * std::min(stacks[i].size(1), stacks[i].size(2)) / 64;
  };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return work(a) > work(b); });
  std::vector<CUDAStream> lanes = {c10::cuda::getCurrentCUDAStream()};
  lanes.insert(lanes.end(), side_streams().begin(), side_streams().end());
  std::vector<int64_t> load(lanes.size(), 0);
  at::cuda::CUDAEvent before;
  before.record(lanes[0]);
  for (const size_t i : order) {
    const auto lane = static_cast<size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    const c10::cuda::CUDAStreamGuard on(lanes[lane]);
    // What a stream allocates it gives back to itself, and begins with nothing before the current stream is so far.
    if (lane > 0 && load[lane] == 0) before.block(lanes[lane]);
    results[i] = iterate(stacks[i], coefficients, steps, least);
    load[lane] += work(i);
  }
  std::vector<at::cuda::CUDAEvent> after(lanes.size());
  for (size_t lane = 1; lane < lanes.size(); lane++) {
    if (load[lane] == 0) continue;
    after[lane].record(lanes[lane]);
    after[lane].block(lanes[0]);
  }
  return results;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("orthogonalize(Tensor[] stacks, float[] coefficients, int steps, float least) -> Tensor[]");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("orthogonalize", orthogonalize); }

}  // namespace mamba_prune::cuda
