// mamba_prune::vit_block: a whole block of a vision transformer in one call, without gradients, float32 on the CPU; the
// matrices may be packed for products in low precision.
// The stages are in vit_block_kernel.h; here are the checks, the memory and the split over threads.
#include <ATen/ATen.h>
#include <omp.h>
#include <torch/library.h>

#include <algorithm>

#include "block_reader.h"
#include "kernel_table.h"
#include "team_size.h"

namespace mamba_prune::vit_block_op {
namespace {

using at::Tensor;

// Rows that a thread works on at a time when it has samples of its own, at least one sample: what a stage reads and
// writes for them stays in the second-level cache. More rows would read the weights less often, which are in the third.
constexpr int64_t kRowsAtATime = 70;
// Sizes beyond this are refused, so that no product of two or three of them leaves 64 bits.
constexpr int64_t kMostSize = int64_t{1} << 20;

int64_t multiply_adds(const VitSizes& s) {
  return s.length * (4 * s.model * s.inner() + 2 * s.length * s.inner() + 2 * s.model * s.hidden);
}

// Not cleared, and freed where libtorch keeps memory for the next call: at batch 1 that is felt.
struct Memory {
  Tensor tensor;
  explicit Memory(int64_t count) : tensor(at::empty({count}, at::kFloat)) {}
  float* data() const { return static_cast<float*>(tensor.data_ptr()); }
};

auto forward_of(const VitArgs& a) { return a.low ? low_blocks().vit_forward : isa().vit_forward; }

// All threads on all rows.
void run_together(VitArgs a, int threads, int64_t scratch) {
  const VitScratch layout(a.sizes, a.batch * a.sizes.length, a.low);
  const Memory memory(layout.total + threads * scratch);
  a.buffers = layout.in(memory.data());
  float* own = memory.data() + layout.total;
  const auto forward = forward_of(a);
#pragma omp parallel num_threads(threads)
  forward(a, omp_get_thread_num(), omp_get_num_threads(), own + omp_get_thread_num() * scratch);
}

// Every thread on samples of its own.
void run_apart(const VitArgs& a, int threads, int64_t scratch) {
  const VitSizes& s = a.sizes;
  const int64_t share = (a.batch + threads - 1) / threads;
  const int64_t samples = std::max<int64_t>(1, std::min(share, kRowsAtATime / s.length));
  const int64_t chunks = (a.batch + samples - 1) / samples, row = s.length * s.model;
  const VitScratch layout(s, samples * s.length, a.low);
  const Memory memory(threads * (layout.total + scratch));
  const auto forward = forward_of(a);
  const auto work = [&](int64_t chunk, int thread) {
    float* own = memory.data() + thread * (layout.total + scratch);
    VitArgs mine = a;
    mine.buffers = layout.in(own + scratch);
    mine.batch = std::min(samples, a.batch - chunk * samples);
    mine.x = a.x + chunk * samples * row, mine.y = a.y + chunk * samples * row;
    forward(mine, 0, 1, own);
  };
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t chunk = 0; chunk < chunks; chunk++) work(chunk, omp_get_thread_num());
}

VitSizes sizes_of(const Tensor& x, const Tensor& fc1_bias, int64_t heads, int64_t head_dim) {
  TORCH_CHECK(x.dim() == 3 && fc1_bias.dim() == 1, "vit_block: got x of shape ", x.sizes(), " and fc1_bias of shape ",
              fc1_bias.sizes(), ", expected [batch, length, d_model] and [mlp].");
  const VitSizes s{x.size(1), x.size(2), heads, head_dim, fc1_bias.size(0)};
  for (const int64_t size : {s.model, s.heads, s.head_dim, s.hidden})
    TORCH_CHECK(size > 0 && size <= kMostSize, "vit_block: got d_model ", s.model, ", heads ", s.heads, ", head_dim ",
                s.head_dim, ", mlp ", s.hidden, ", expected sizes from 1 to ", kMostSize, ".");
  TORCH_CHECK(s.length <= kMostSize, "vit_block: got a length of ", s.length, ", expected at most ", kMostSize, ".");
  return s;
}

Tensor forward(const Tensor& x_, const Tensor& norm1_weight, const Tensor& norm1_bias, const Tensor& qkv,
               const Tensor& qkv_bias, const Tensor& proj, const Tensor& proj_bias, const Tensor& norm2_weight,
               const Tensor& norm2_bias, const Tensor& fc1, const Tensor& fc1_bias, const Tensor& fc2,
               const Tensor& fc2_bias, int64_t heads, int64_t head_dim, double eps) {
  TORCH_CHECK(x_.scalar_type() == at::kFloat, "vit_block: got x of dtype ", x_.scalar_type(),
              ", expected float32. Use the single operators.");
  refuse_gradient("vit_block", x_);
  at::AutoDispatchBelowADInplaceOrView below;
  const Tensor x = x_.contiguous();
  VitArgs a{};
  a.sizes = sizes_of(x, fc1_bias, heads, head_dim);
  const VitSizes& s = a.sizes;
  const int64_t inner = s.inner();
  BlockReader read("vit_block", x);
  const auto vector = [&](const char* name, const Tensor& t, int64_t size, const char* layout) {
    return read.floats(name, t, {size}, layout);
  };
  const auto matrix = [&](const char* name, const Tensor& t, int64_t columns, int64_t depth) {
    VitMatrix found;
    if (!read.low(name, t, columns, depth, found.low))
      found.panels = packed_weights("vit_block", name, t, 1, columns, depth);
    return found;
  };
  a.weights = {
      vector("norm1_weight", norm1_weight, s.model, "[d_model]"),
      vector("norm1_bias", norm1_bias, s.model, "[d_model]"),
      matrix("qkv", qkv, 3 * inner, s.model),
      vector("qkv_bias", qkv_bias, 3 * inner, "[3 heads head_dim]"),
      matrix("proj", proj, s.model, inner),
      vector("proj_bias", proj_bias, s.model, "[d_model]"),
      vector("norm2_weight", norm2_weight, s.model, "[d_model]"),
      vector("norm2_bias", norm2_bias, s.model, "[d_model]"),
      matrix("fc1", fc1, s.hidden, s.model),
      vector("fc1_bias", fc1_bias, s.hidden, "[mlp]"),
      matrix("fc2", fc2, s.model, s.hidden),
      vector("fc2_bias", fc2_bias, s.model, "[d_model]"),
  };
  a.low = read.kernels();
  if (a.low) a.attention = low_kernels(LowPrecision::bf16);
  Tensor y = at::empty(x.sizes(), x.options());
  a.eps = static_cast<float>(eps), a.batch = x.size(0);
  a.x = data_or_null<float>(x), a.y = data_or_null<float>(y);
  if (x.numel() == 0) return y;
  const int64_t scratch = vit_scratch(s, isa().panel, a.low != nullptr);
  const int threads = team_size(a.batch * multiply_adds(s));
  if (a.batch < threads) run_together(a, threads, scratch);
  else run_apart(a, threads, scratch);
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "vit_block(Tensor x, Tensor norm1_weight, Tensor norm1_bias, Tensor qkv, Tensor qkv_bias, Tensor proj, Tensor "
      "proj_bias, "
      "Tensor norm2_weight, Tensor norm2_bias, Tensor fc1, Tensor fc1_bias, Tensor fc2, Tensor fc2_bias, int heads, "
      "int head_dim, "
      "float eps=1e-6) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("vit_block", forward); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCPU, m) { m.impl("vit_block", forward); }

}  // namespace mamba_prune::vit_block_op
