// mamba_prune::mamba_blocks: all blocks of a vision Mamba, for inference on a GPU that has the kernel of fused_mlp.h. A
// block's MLP and the next block's in-projection are one launch; and JavaScript waits for one operator instead of two
// for every block.
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "fused_mlp.h"
#include "mlp_block.h"
#include "reorder_cuda.h"
#include "ssm_block.h"

namespace mamba_prune::cuda {
namespace {

using at::Tensor;
using torch::autograd::variable_list;

constexpr const char* kName = "mamba_blocks";

// Parameters and packed copies of one block, one after another.
struct Part {
  const std::vector<Tensor>& all;
  size_t at;
  variable_list next(size_t count) {
    at += count;
    return {all.begin() + static_cast<std::ptrdiff_t>(at - count), all.begin() + static_cast<std::ptrdiff_t>(at)};
  }
};

// orders: how the tokens are reordered before each block, as for reorder_tokens, -1 for not at all.
Tensor mamba_blocks(const Tensor& x_, double eps, at::TensorList weights, at::TensorList packed, at::TensorList units,
                    at::IntArrayRef orders) {
  const c10::DeviceGuard guard(x_.device());
  check_rows(kName, x_);
  TORCH_CHECK(x_.is_cuda() && fused_mlp_runs(x_.size(2), x_.scalar_type()), kName, ": got x of ", x_.scalar_type(),
              " with d_model ", x_.size(2), " on ", x_.device(),
              ", expected bfloat16 or float16 with d_model 128 or 192 on a GPU of compute capability 9.0.");
  const size_t blocks = units.size();
  TORCH_CHECK(blocks > 0 && weights.size() % blocks == 0 && packed.size() % blocks == 0, kName, ": got ",
              weights.size(), " weights and ", packed.size(), " packed weights of ", blocks,
              " blocks, expected equally many of each.");
  TORCH_CHECK(orders.size() == blocks, kName, ": got ", orders.size(), " orders of ", blocks,
              " blocks, expected one for each.");
  constexpr size_t kNorms = 4;
  const size_t of_weights = weights.size() / blocks, of_packed = packed.size() / blocks;
  TORCH_CHECK(of_weights > kNorms + mlp_block_op::kWeights && of_packed > mlp_block_op::kWeights, kName, ": got ",
              of_weights, " weights and ", of_packed, " packed weights a block, expected those of both branches.");
  const std::vector<Tensor> all_weights = weights.vec(), all_packed = packed.vec();
  std::vector<ssm_block_op::Block> ssm;
  std::vector<mlp_block_op::Mlp> mlp;
  for (size_t i = 0; i < blocks; i++) {
    Part w{all_weights, i * of_weights}, p{all_packed, i * of_packed};
    const variable_list norms = w.next(kNorms);
    const variable_list ssm_weights = w.next(of_weights - kNorms - mlp_block_op::kWeights);
    ssm.push_back(ssm_block_op::Block::read(x_, norms[0], norms[1], eps, ssm_weights,
                                            p.next(of_packed - mlp_block_op::kWeights)));
    mlp.push_back(mlp_block_op::Mlp::read(x_, norms[2], norms[3], eps, w.next(mlp_block_op::kWeights),
                                          p.next(mlp_block_op::kWeights)));
  }
  for (size_t i = 0; i < blocks; i++) {
    const int64_t columns = i + 1 < blocks ? 2 * ssm[i + 1].width : 0;
    const auto [count, bytes] = fused_mlp_units_shape(x_.size(2), mlp[i].neurons, columns);
    check_shape(kName, "units", units[i], {count, bytes}, at::kByte, x_);
  }
  const auto ordered = [&](const Tensor& tokens, size_t block) {
    return orders[block] < 0 ? tokens : reorder_tokens(tokens, orders[block]);
  };
  Tensor x = ordered(aligned(x_), 0);
  ssm_block_op::Kept kept;
  ssm[0].begin(x, kept, false);
  for (size_t i = 0; i < blocks; i++) {
    Tensor middle = ssm[i].finish(x, Tensor(), kept, false);
    // Before the MLP rather than after it, which does not mind: the next block's in-projection is in the same kernel.
    if (i + 1 < blocks) middle = ordered(middle, i + 1);
    x = at::empty_like(middle);
    kept = {};
    if (i + 1 < blocks) kept.xz = at::empty({x.size(0), x.size(1), 2 * ssm[i + 1].width}, x.options());
    fused_mlp(middle, aligned(units[i]), mlp[i].master_bias2, mlp[i].neurons, eps, x, kept.xz);
  }
  return x;
}

bool runs(const Tensor& like, int64_t model) {
  if (!like.is_cuda()) return false;
  const c10::DeviceGuard guard(like.device());
  return fused_mlp_runs(model, like.scalar_type());
}

Tensor units_of(const Tensor& norm_weight, const Tensor& norm_bias, const Tensor& fc1, const Tensor& bias1,
                const Tensor& fc2, const OptionalTensor& next_weight, const OptionalTensor& next_bias,
                const OptionalTensor& next_in_proj, const Tensor& like) {
  const char* op = "mlp_units";
  const c10::DeviceGuard guard(fc1.device());
  TORCH_CHECK(fc1.dim() == 2 && fc1.size(0) > 0 && fc1.size(1) % 64 == 0, op, ": got fc1 of shape ", fc1.sizes(),
              ", expected [neurons, d_model] with d_model a multiple of 64.");
  TORCH_CHECK(like.scalar_type() == at::kBFloat16 || like.scalar_type() == at::kHalf, op, ": got like of ",
              like.scalar_type(), ", expected bfloat16 or float16.");
  const int64_t neurons = fc1.size(0), model = fc1.size(1);
  check_shape(op, "fc1", fc1, {neurons, model}, at::kFloat, fc1),
      check_shape(op, "norm weight", norm_weight, {model}, at::kFloat, fc1);
  check_shape(op, "norm bias", norm_bias, {model}, at::kFloat, fc1),
      check_shape(op, "fc1 bias", bias1, {neurons}, at::kFloat, fc1);
  check_shape(op, "fc2", fc2, {model, neurons}, at::kFloat, fc1);
  const Tensor in_proj = defined_or_empty(next_in_proj);
  if (in_proj.defined()) {
    TORCH_CHECK(in_proj.dim() == 2 && in_proj.size(0) > 0 && in_proj.size(0) % 2 == 0, op,
                ": got the next in_proj of shape ", in_proj.sizes(), ", expected [2 d_inner, d_model].");
    check_shape(op, "next in_proj", in_proj, {in_proj.size(0), model}, at::kFloat, fc1);
    check_shape(op, "next norm weight", defined_or_empty(next_weight), {model}, at::kFloat, fc1);
    check_shape(op, "next norm bias", defined_or_empty(next_bias), {model}, at::kFloat, fc1);
  }
  return fused_mlp_units(norm_weight, norm_bias, fc1, bias1, fc2, defined_or_empty(next_weight),
                         defined_or_empty(next_bias), in_proj, like.scalar_type());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def("mamba_blocks(Tensor x, float eps, Tensor[] weights, Tensor[] packed, Tensor[] units, int[] orders) -> Tensor");
  m.def("mamba_blocks_run(Tensor like, int d_model) -> bool");
  m.def(
      "mlp_units(Tensor norm_weight, Tensor norm_bias, Tensor fc1, Tensor bias1, Tensor fc2, Tensor? next_norm_weight, "
      "Tensor? next_norm_bias, Tensor? next_in_proj, Tensor like) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) {
  m.impl("mamba_blocks", mamba_blocks), m.impl("mamba_blocks_run", runs), m.impl("mlp_units", units_of);
}

}  // namespace mamba_prune::cuda
