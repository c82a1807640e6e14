// mamba_prune::muon_: a whole step of Muon for matrices that fit into the shared memory of a multiprocessor each, in a
// launch or a few. As stacks of libtorch's operators those of a pruned model are some two hundred launches.
#include <ATen/cuda/CUDAContext.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <algorithm>
#include <numeric>

#include "kernel.h"
#include "kernels/muon_interface.h"
#include "launch.h"
#include "launch_util.h"
#include "layer_util.h"

namespace mamba_prune::cuda::muon_op {
namespace {

using at::Tensor;
using namespace muon_kernel;

constexpr const char* kName = "muon_";

// Products with larger matrices keep a single multiprocessor busy for longer than stacks of them take: multiplications
// of a product.
constexpr int64_t kMostWork = 10'000'000;

int64_t work_of(int64_t rows, int64_t columns) { return std::min(rows, columns) * rows * columns; }

// Whether the kernel takes matrices of a size on the device of `like`, and is the faster way for them.
bool takes(const Tensor& like, int64_t rows, int64_t columns) {
  const c10::DeviceGuard guard(like.device());
  const cudaDeviceProp& device = *at::cuda::getCurrentDeviceProperties();
  const int64_t least = std::min(rows, columns), most = std::max(rows, columns);
  if (device.major < 8 || least < 1 || least > kMost || work_of(rows, columns) > kMostWork) return false;
  // What the kernel has without asking comes on top, below 2 KB.
  return shared_bytes(static_cast<int>(least), static_cast<int>(most)) + 2048 <=
         static_cast<int64_t>(device.sharedMemPerBlockOptin);
}

void check(at::TensorList params, at::TensorList grads, at::TensorList buffers, at::ArrayRef<double> factors,
           at::ArrayRef<double> coefficients, const Tensor& rate, const Tensor& skip) {
  TORCH_CHECK(grads.size() == params.size() && buffers.size() == params.size() && factors.size() == params.size(),
              kName, ": got ", params.size(), " parameters with ", grads.size(), " gradients, ", buffers.size(),
              " buffers and ", factors.size(), " factors, expected one of each.");
  TORCH_CHECK(coefficients.size() == 3, kName, ": got ", coefficients.size(), " coefficients, expected 3.");
  const Tensor& first = params[0];
  check_shape(kName, "rate", rate, {}, at::kFloat, first);
  if (skip.defined()) check_shape(kName, "skip", skip, {}, at::kFloat, first);
  for (size_t i = 0; i < params.size(); i++) {
    TORCH_CHECK(params[i].dim() >= 2, kName, ": got a parameter of shape ", params[i].sizes(),
                ", expected two dimensions or more.");
    const int64_t rows = params[i].size(0), columns = rows == 0 ? 0 : params[i].numel() / rows;
    TORCH_CHECK(takes(first, rows, columns), kName, ": got a parameter of shape ", params[i].sizes(),
                ", which muon_takes refuses.");
    check_shape(kName, "a parameter", params[i], params[i].sizes(), at::kFloat, first);
    check_shape(kName, "a gradient", grads[i], params[i].sizes(), at::kFloat, first);
    check_shape(kName, "a buffer", buffers[i], params[i].sizes(), at::kFloat, first);
  }
}

// The first launch has the largest matrices, the longest work of which begins first.
std::vector<size_t> largest_first(at::TensorList params) {
  std::vector<size_t> order(params.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto work = [&](size_t i) { return work_of(params[i].size(0), params[i].numel() / params[i].size(0)); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return work(a) > work(b); });
  return order;
}

void step(at::TensorList params, at::TensorList grads, at::TensorList buffers, at::ArrayRef<double> factors,
          const Tensor& rate, const OptionalTensor& skip_, double momentum, double weight_decay,
          at::ArrayRef<double> coefficients, int64_t steps, double least) {
  if (params.empty()) return;
  const Tensor skip = defined_or_empty(skip_);
  check(params, grads, buffers, factors, coefficients, rate, skip);
  const c10::DeviceGuard guard(params[0].device());
  MuonArgs a{};
  a.rate = float_pointer(rate), a.skip = float_pointer(skip);
  a.momentum = static_cast<float>(momentum), a.rest = static_cast<float>(1 - momentum);
  a.decay = static_cast<float>(weight_decay), a.least = static_cast<float>(least), a.steps = static_cast<int>(steps);
  a.linear = static_cast<float>(coefficients[0]), a.cubic = static_cast<float>(coefficients[1]);
  a.fifth = static_cast<float>(coefficients[2]);
  const Kernel& kernel = find_kernel("muon.cu", "muon", {{"SCALAR", scalar_code(at::kBFloat16)}});
  const std::vector<size_t> order = largest_first(params);
  for (size_t begin = 0; begin < order.size(); begin += kMostMatrices) {
    const size_t end = std::min<size_t>(order.size(), begin + kMostMatrices);
    int shared = 0;
    for (size_t i = begin; i < end; i++) {
      const size_t of = order[i];
      Matrix& m = a.of[i - begin];
      m.param = float_pointer(params[of]), m.grad = float_pointer(grads[of]), m.buffer = float_pointer(buffers[of]);
      m.rows = static_cast<int>(params[of].size(0)), m.columns = static_cast<int>(params[of].numel()) / m.rows;
      m.factor = static_cast<float>(factors[of]);
      shared = std::max(shared, shared_bytes(std::min(m.rows, m.columns), std::max(m.rows, m.columns)));
    }
    kernel.launch({u32(static_cast<int64_t>(end - begin))}, muon_kernel::kThreads, u32(shared), a);
  }
  for (at::TensorList list : {params, buffers})
    for (const Tensor& t : list) written(t);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("muon_takes(Tensor like, int rows, int columns) -> bool");
  m.def(
      "muon_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] buffers, float[] factors, Tensor rate, Tensor? skip, "
      "float momentum, float weight_decay, float[] coefficients, int steps, float least) -> ()");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("muon_takes", takes), m.impl("muon_", step); }

}  // namespace mamba_prune::cuda::muon_op
