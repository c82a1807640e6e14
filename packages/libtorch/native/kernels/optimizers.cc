// mamba_prune::adamw_, sgd_, ema_, grad_norm and scale_: whole lists of tensors in one call, one pass over memory.
// CPU only; the CUDA key is free. The arithmetic is in optimizer_kernel.h.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernel_table.h"
#include "op_util.h"

namespace mamba_prune::optimizers_op {
namespace {

using at::Tensor;
using at::TensorList;

// A range of one tensor of the list. Fixed size, so that grad_norm adds the same partial sums whatever the number
// of threads, and big and small tensors share the threads evenly.
constexpr int64_t kChunk = 16384;
struct Chunk {
  size_t tensor;
  int64_t first, count;
};

// Calls body(i) for every tensor that is there and whose partner is, too: a parameter without gradient is left out.
template <class Body> void for_present(TensorList tensors, TensorList partners, const Body& body) {
  for (size_t i = 0; i < tensors.size(); i++)
    if (tensors[i].defined() && partners[i].defined()) body(i);
}

std::vector<Chunk> split(TensorList tensors, TensorList partners) {
  std::vector<Chunk> chunks;
  for_present(tensors, partners, [&](size_t i) {
    for (int64_t at = 0; at < tensors[i].numel(); at += kChunk)
      chunks.push_back({i, at, std::min(kChunk, tensors[i].numel() - at)});
  });
  return chunks;
}

void check_list(const char* op, const char* name, TensorList list, TensorList like) {
  TORCH_CHECK(list.size() == like.size(), op, ": got ", list.size(), " tensors in ", name, ", expected ", like.size(),
              ", one for each of the first list.");
}
// One tensor of a list: on the CPU, contiguous, floating point, and shaped like its partner.
void check_item(const char* op, const char* name, size_t i, const Tensor& t, const Tensor& like) {
  TORCH_CHECK(t.defined(), op, ": got an undefined tensor ", name, "[", i, "], expected one of shape ", like.sizes(),
              ".");
  TORCH_CHECK(t.device().is_cpu(), op, ": got ", name, "[", i, "] on ", t.device(), ", expected the CPU. Move it.");
  check_floating(op, name, t);
  TORCH_CHECK(t.scalar_type() == like.scalar_type(), op, ": got ", name, "[", i, "] of dtype ", t.scalar_type(),
              ", expected ", like.scalar_type(), ".");
  TORCH_CHECK(t.sizes() == like.sizes(), op, ": got ", name, "[", i, "] of shape ", t.sizes(), ", expected ",
              like.sizes(), ".");
  TORCH_CHECK(t.is_contiguous(), op, ": got ", name, "[", i, "] of shape ", t.sizes(), " and strides ", t.strides(),
              ", expected a contiguous tensor. Call contiguous() first.");
}

// Calls body(index, chunk, typed null pointer) for every chunk, in parallel.
template <class Body> void for_chunks(TensorList tensors, const std::vector<Chunk>& chunks, const Body& body) {
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const Chunk& chunk = chunks[static_cast<size_t>(i)];
      if (tensors[chunk.tensor].scalar_type() == at::kFloat) body(i, chunk, static_cast<float*>(nullptr));
      else body(i, chunk, static_cast<double*>(nullptr));
    }
  });
}
template <class T> T* at_chunk(TensorList tensors, const Chunk& chunk) {
  return static_cast<T*>(tensors[chunk.tensor].data_ptr()) + chunk.first;
}

void adamw_(TensorList params, TensorList grads, TensorList exp_avg, TensorList exp_avg_sq, double lr, double beta1,
            double beta2, double eps, double weight_decay, int64_t step) {
  const char* op = "adamw_";
  check_list(op, "grads", grads, params), check_list(op, "exp_avg", exp_avg, params);
  check_list(op, "exp_avg_sq", exp_avg_sq, params);
  TORCH_CHECK(step >= 1, op, ": got step ", step, ", expected 1 for the first update.");
  const std::vector<Chunk> chunks = split(params, grads);
  for_present(params, grads, [&](size_t i) {
    check_item(op, "params", i, params[i], params[i]), check_item(op, "grads", i, grads[i], params[i]);
    check_item(op, "exp_avg", i, exp_avg[i], params[i]), check_item(op, "exp_avg_sq", i, exp_avg_sq[i], params[i]);
  });
  for_chunks(params, chunks, [&](int64_t, const Chunk& chunk, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const double n = static_cast<double>(step);
    const AdamWStep<T> s{static_cast<T>(1 - lr * weight_decay),
                         static_cast<T>(beta1),
                         static_cast<T>(beta2),
                         static_cast<T>(eps),
                         static_cast<T>(1 - beta1),
                         static_cast<T>(1 - beta2),
                         static_cast<T>(lr / (1 - std::pow(beta1, n))),
                         static_cast<T>(std::sqrt(1 - std::pow(beta2, n)))};
    kernels<T>().adamw(s, at_chunk<T>(params, chunk), at_chunk<T>(grads, chunk), at_chunk<T>(exp_avg, chunk),
                       at_chunk<T>(exp_avg_sq, chunk), chunk.count);
  });
  for_present(params, grads, [&](size_t i) { written(params[i]), written(exp_avg[i]), written(exp_avg_sq[i]); });
}

void sgd_(TensorList params, TensorList grads, TensorList momentum_buffers, double lr, double momentum,
          double weight_decay, bool nesterov, bool first) {
  const char* op = "sgd_";
  check_list(op, "grads", grads, params);
  if (momentum != 0) check_list(op, "momentum_buffers", momentum_buffers, params);
  TORCH_CHECK(!nesterov || momentum > 0, op, ": got nesterov with momentum ", momentum,
              ", expected a momentum above 0.");
  const std::vector<Chunk> chunks = split(params, grads);
  for_present(params, grads, [&](size_t i) {
    check_item(op, "params", i, params[i], params[i]), check_item(op, "grads", i, grads[i], params[i]);
    if (momentum != 0) check_item(op, "momentum_buffers", i, momentum_buffers[i], params[i]);
  });
  for_chunks(params, chunks, [&](int64_t, const Chunk& chunk, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const SgdStep<T> s{static_cast<T>(lr), static_cast<T>(momentum), static_cast<T>(weight_decay), nesterov, first};
    T* velocity = momentum != 0 ? at_chunk<T>(momentum_buffers, chunk) : nullptr;
    kernels<T>().sgd(s, at_chunk<T>(params, chunk), at_chunk<T>(grads, chunk), velocity, chunk.count);
  });
  for_present(params, grads, [&](size_t i) {
    written(params[i]);
    if (momentum != 0) written(momentum_buffers[i]);
  });
}

void ema_(TensorList averages, TensorList params, double decay) {
  const char* op = "ema_";
  check_list(op, "params", params, averages);
  const std::vector<Chunk> chunks = split(averages, params);
  for_present(averages, params, [&](size_t i) {
    check_item(op, "averages", i, averages[i], averages[i]), check_item(op, "params", i, params[i], averages[i]);
  });
  for_chunks(averages, chunks, [&](int64_t, const Chunk& chunk, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    kernels<T>().ema(static_cast<T>(decay), at_chunk<T>(averages, chunk), at_chunk<T>(params, chunk), chunk.count);
  });
  for_present(averages, params, [&](size_t i) { written(averages[i]); });
}

Tensor grad_norm(TensorList grads) {
  const char* op = "grad_norm";
  const std::vector<Chunk> chunks = split(grads, grads);
  for_present(grads, grads, [&](size_t i) { check_item(op, "grads", i, grads[i], grads[i]); });
  std::vector<double> sums(chunks.size());
  for_chunks(grads, chunks, [&](int64_t i, const Chunk& chunk, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    sums[static_cast<size_t>(i)] = kernels<T>().sum_squares(at_chunk<T>(grads, chunk), chunk.count);
  });
  double total = 0;
  for (double s : sums) total += s;
  return at::full({}, std::sqrt(total), at::TensorOptions().dtype(at::kFloat));
}

void scale_(TensorList ts, double s) {
  const char* op = "scale_";
  const std::vector<Chunk> chunks = split(ts, ts);
  for_present(ts, ts, [&](size_t i) { check_item(op, "ts", i, ts[i], ts[i]); });
  for_chunks(ts, chunks, [&](int64_t, const Chunk& chunk, auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    kernels<T>().scale(static_cast<T>(s), at_chunk<T>(ts, chunk), chunk.count);
  });
  for_present(ts, ts, [&](size_t i) { written(ts[i]); });
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "adamw_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] exp_avg, Tensor(c!)[] exp_avg_sq, float lr, float "
      "beta1, "
      "float beta2, float eps, float weight_decay, int step) -> ()");
  m.def(
      "sgd_(Tensor(a!)[] params, Tensor[] grads, Tensor(b!)[] momentum_buffers, float lr, float momentum, "
      "float weight_decay, bool nesterov, bool first) -> ()");
  m.def("ema_(Tensor(a!)[] averages, Tensor[] params, float decay) -> ()");
  m.def("grad_norm(Tensor[] grads) -> Tensor");
  m.def("scale_(Tensor(a!)[] ts, float s) -> ()");
}
// Not under the CPU key: an empty list has no device, and its call must work too. Tensors elsewhere are refused by
// check_item until their backend registers its own kernel, which then takes precedence.
TORCH_LIBRARY_IMPL(mamba_prune, CompositeExplicitAutograd, m) {
  m.impl("adamw_", adamw_);
  m.impl("sgd_", sgd_);
  m.impl("ema_", ema_);
  m.impl("grad_norm", grad_norm);
  m.impl("scale_", scale_);
}

}  // namespace mamba_prune::optimizers_op
