// mamba_prune::reorder_tokens: the tokens of a sequence in another order, reversed (side 0) or with the rows and
// columns of a grid of side x side exchanged. Both undo themselves, so a gradient goes back by the same operator. CUDA:
// reorder_cuda.cc.
#include "reorder_tokens.h"

#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>

#include "op_util.h"

namespace mamba_prune::reorder_tokens_op {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor call(const Tensor& x, int64_t side) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("mamba_prune::reorder_tokens", "")
                             .typed<Tensor(const Tensor&, int64_t)>();
  return op.call(x, side);
}

class ReorderTokens : public torch::autograd::Function<ReorderTokens> {
 public:
  static Tensor forward(AutogradContext* ctx, const Tensor& x, int64_t side) {
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->saved_data["side"] = side;
    return call(x, side);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return variable_list(2);
    return {call(grads[0], ctx->saved_data["side"].toInt()), Tensor()};
  }
};

Tensor with_autograd(const Tensor& x, int64_t side) {
  if (any_requires_grad({x})) return ReorderTokens::apply(x, side);
  at::AutoDispatchBelowADInplaceOrView below;
  return call(x, side);
}

Tensor run_on_cpu(const Tensor& given, int64_t side) {
  check_reorder_tokens(given, side);
  const Tensor x = given.contiguous();
  const Tensor y = at::empty_like(x);
  const int64_t length = x.size(1), bytes = x.size(2) * static_cast<int64_t>(x.element_size());
  const char* from = static_cast<const char*>(x.data_ptr());
  char* to = static_cast<char*>(y.data_ptr());
  // Below some tens of kilobytes starting threads takes longer than copying.
  const int64_t grain = std::max<int64_t>(1, 65536 / std::max<int64_t>(1, bytes));
  at::parallel_for(0, x.size(0) * length, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t token = row % length;
      const int64_t source = row - token + reordered_from(token, length, side);
      std::memcpy(to + row * bytes, from + source * bytes, static_cast<size_t>(bytes));
    }
  });
  return y;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) { m.def("reorder_tokens(Tensor x, int side) -> Tensor"); }
TORCH_LIBRARY_IMPL(mamba_prune, CPU, m) { m.impl("reorder_tokens", run_on_cpu); }
TORCH_LIBRARY_IMPL(mamba_prune, Autograd, m) { m.impl("reorder_tokens", with_autograd); }

}  // namespace mamba_prune::reorder_tokens_op
