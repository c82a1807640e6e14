// mamba_prune::copy_parts: copies of float32 tensors, or of parts of matrices into parts of others, all in a launch or
// a few. A pruned model has hundreds of them, and each took a launch of its own where rows are padded.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "items.h"
#include "kernel.h"
#include "kernels/copy_parts_interface.h"
#include "launch.h"
#include "launch_util.h"

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using namespace copy_parts_kernel;

// Numbers that follow one another on both sides are a single row.
bool dense(const Tensor& to, const Tensor& from) { return to.is_contiguous() && from.is_contiguous(); }
Mat rows_of(const Tensor& t, bool dense) { return dense ? Mat{t.data_ptr(), 1, t.numel(), t.numel()} : mat(t); }

void check(const Tensor& to, const Tensor& from, const Tensor& first) {
  const char* op = "copy_parts";
  TORCH_CHECK(to.sizes() == from.sizes(), op, ": got parts of shapes ", to.sizes(), " and ", from.sizes(),
              ", expected one shape.");
  TORCH_CHECK(dense(to, from) || (to.dim() >= 1 && to.dim() <= 2), op, ": got parts of shape ", to.sizes(),
              " with gaps, expected one or two dimensions.");
  TORCH_CHECK(from.scalar_type() == at::kFloat && to.scalar_type() == first.scalar_type(), op, ": got parts of ",
              from.scalar_type(), " for ", to.scalar_type(), ", expected float32 for ", first.scalar_type(), ".");
  TORCH_CHECK(to.device() == first.device() && from.device() == first.device(), op, ": got parts on ", from.device(),
              " for ", to.device(), ", expected all on ", first.device(), ".");
  TORCH_CHECK(to.numel() < (int64_t{1} << 31) - kPerBlock, op, ": got a part of ", to.numel(), " elements.");
}

void copy_parts(at::TensorList to, at::TensorList from) {
  TORCH_CHECK(to.size() == from.size(), "copy_parts: got ", to.size(), " parts and ", from.size(), " to copy.");
  if (to.empty()) return;
  const c10::DeviceGuard guard(to[0].device());
  const auto fill = [&](Part<void>& p, size_t i) -> int64_t {
    check(to[i], from[i], to[0]);
    if (to[i].numel() == 0) return 0;
    const bool whole = dense(to[i], from[i]);
    const Mat target = rows_of(to[i], whole), source = rows_of(from[i], whole);
    p.from = float_pointer(from[i]), p.to = pointer(to[i]);
    p.rows = static_cast<int>(target.rows), p.columns = static_cast<int>(target.columns);
    p.from_row = static_cast<int>(source.stride), p.to_row = static_cast<int>(target.stride);
    return ceil_div(to[i].numel(), kPerBlock);
  };
  launch_items(to.size(), PartsArgs<void>{}, fill, [&](const PartsArgs<void>& a, int64_t blocks) {
    find_kernel("copy_parts.cu", "copy_parts", {{"SCALAR", scalar_code(to[0].scalar_type())}})
        .launch({u32(blocks)}, kThreads, 0, a);
  });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) { m.def("copy_parts(Tensor(a!)[] to, Tensor[] from) -> ()"); }
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("copy_parts", copy_parts); }

}  // namespace mamba_prune::cuda
