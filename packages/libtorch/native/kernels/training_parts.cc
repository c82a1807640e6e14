// Matrix products, normalisation and skip connections of the operators of a whole branch.
#include "training_parts.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "kernel_table.h"
#include "row_chunks.h"
#include "scratch.h"
#include "sgemm.h"
#include "team_size.h"

namespace mamba_prune::branch_op {

using at::Tensor;

namespace {

const float* data(const Tensor& t) { return static_cast<const float*>(t.data_ptr()); }
// A matrix of one column may have any stride, but products want one that its rows fit into.
int64_t stride_of(const Tensor& m) { return std::max(m.stride(0), m.size(1)); }

// Rows of x that a thread multiplies by all of a matrix before it turns to the next.
constexpr int64_t kSliceRows = 192;

// out = x op(weight) + bias + residual
void by_panels(const Tensor& x, const Factor& weight, const Tensor& out, const Tensor& bias, const float* residual) {
  const int64_t depth = x.size(1), columns = out.size(1), rows = out.size(0), panel = isa().panel;
  const int64_t panels = (columns + panel - 1) / panel, stride = isa().panel_stride(depth);
  const Tensor matrix = weight.matrix.contiguous();
  const Tensor packed = at::empty({panels * stride}, x.options());
  const PanelPacking packing{data(matrix), columns, depth, static_cast<float*>(packed.data_ptr())};
  const auto pack = weight.t ? isa().pack_panels : isa().pack_row_panels;
  PackedProduct product{data(x),       stride_of(x), rows,    depth,
                        packing.out,   stride,       columns, static_cast<float*>(out.data_ptr()),
                        stride_of(out)};
  product.bias = data_or_null<float>(bias), product.residual = residual;
  const int64_t threads = team_size(rows * columns * depth);
  at::parallel_for(0, panels, threads == 1 ? panels : 1,
                   [&](int64_t begin, int64_t end) { pack(packing, begin, end); });
  const int64_t each = std::max<int64_t>(1, (rows + threads * kSliceRows - 1) / (threads * kSliceRows));
  const int64_t slices = threads * each;
  at::parallel_for(0, slices, threads == 1 ? slices : 1, [&](int64_t begin, int64_t end) {
    for (int64_t slice = begin; slice < end; slice++) isa().packed_slice(product, slice, slices);
  });
}

// How the result of outer products is divided among threads: `across` times `down` parts.
struct Division {
  int64_t across, down;
};

// The parts are of equal work as nearly as whole panels and tiles allow. Of those that are, the nearest to squares:
// each thread reads the columns of both factors that its part is made of, and what it reads has no other cache than its
// own.
Division division_of(int64_t panels, int64_t tiles, int64_t threads) {
  const auto most = [](int64_t count, int64_t parts) { return (count + parts - 1) / parts; };
  Division best{1, threads};
  int64_t work = panels * most(tiles, threads), reads = panels * isa().panel + most(tiles, threads) * isa().tile_rows;
  for (int64_t across = 2; across <= std::min(threads, panels); across++) {
    const int64_t down = threads / across, wide = most(panels, across), high = most(tiles, down);
    const int64_t its_reads = wide * isa().panel + high * isa().tile_rows;
    if (wide * high > work || (wide * high == work && its_reads >= reads)) continue;
    best = {across, down}, work = wide * high, reads = its_reads;
  }
  return best;
}

// Rows of a factor that are at least as far apart are packed for eight tiles and more. A processor of Intel with
// AVX-512 then reached 164 GFLOP/s in place of 154 for fc2 of a Mamba, and gained more on a busy machine. One of AMD
// (Zen 5) takes 1 to 5% longer with packing.
constexpr int64_t kFarApart = 256;
constexpr int64_t kManyTiles = 8;
// With AVX2, where a load serves half as many multiplications, rows that do not begin where registers do are packed for
// 16 tiles and more: Zen 3 then took 3 to 5% less for the widths of pruned models.
constexpr int64_t kTilesToAlign = 16;
bool packs(const OuterProduct& product, int64_t tiles) {
  const bool wide = isa().panel > 16, aligned = product.b_stride % (isa().panel / 2) == 0;
  return (product.b_stride >= kFarApart && tiles >= kManyTiles) || (!wide && !aligned && tiles >= kTilesToAlign);
}

// out = a^T b
void outer(const Tensor& a, const Tensor& b, const Tensor& out) {
  OuterProduct product{data(a),       stride_of(a), out.size(0), data(b),
                       stride_of(b),  out.size(1),  a.size(0),   static_cast<float*>(out.data_ptr()),
                       stride_of(out)};
  const int64_t panel = isa().panel, panels = (product.columns + panel - 1) / panel;
  const int64_t tiles = (product.rows + isa().tile_rows - 1) / isa().tile_rows;
  const Division division = division_of(panels, tiles, team_size(product.rows * product.columns * product.depth));
  const int64_t parts = division.across * division.down;
  product.pack_b = packs(product, tiles / division.down);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    const Scratch<float> scratch(isa().outer_scratch);
    for (int64_t part = begin; part < end; part++) {
      const int64_t i = part % division.across, j = part / division.across;
      const int64_t first = panels * i / division.across * panel, last = panels * (i + 1) / division.across * panel;
      OuterProduct own = product;
      own.b += first, own.out += first, own.columns = std::min(last, product.columns) - first;
      isa().outer_product(own, tiles * j / division.down, tiles * (j + 1) / division.down, scratch.data());
    }
  });
}

// The same. A tile has fewer rows than columns, so a narrow result is computed with its narrow side down: the sums are
// the same, and dt_proj's, of 12 columns, took three times as long the other way.
void outer_either_way(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (out.size(1) >= isa().panel || out.size(0) <= out.size(1)) return outer(a, b, out);
  const Tensor turned = at::empty({out.size(1), out.size(0)}, out.options());
  outer(b, a, turned);
  out.copy_(turned.t());
}

// By a library: oneDNN where libtorch comes with one that answers, or else libtorch's own operators.
void by_library(const Factor& a, const Factor& b, const Tensor& out, bool add) {
  if (has_fast_sgemm()) {
    sgemm({a.t, b.t, out.size(0), out.size(1), a.matrix.size(a.t ? 0 : 1), data(a.matrix), stride_of(a.matrix),
           data(b.matrix), stride_of(b.matrix), add ? 1.0f : 0.0f, static_cast<float*>(out.data_ptr()),
           stride_of(out)});
    return;
  }
  const Tensor left = a.t ? a.matrix.t() : a.matrix, right = b.t ? b.matrix.t() : b.matrix;
  Tensor to = out;
  if (add) to.addmm_(left, right);
  else at::mm_out(to, left, right);
}

// oneDNN was up to 7% faster than our products (two cores with AVX-512). MKL, which pip's libtorch has, took twice
// their time on a processor of AMD; on one of Intel it was faster, but some of its sums depend on the number of
// threads, as oneDNN's do with AVX2. The narrowest products, dt_proj's, take the same time either way; they go ours, so
// that every libtorch runs this code.
constexpr int64_t kNarrow = 16;
bool takes_own(int64_t one_side, int64_t other) {
  const bool library = has_fast_sgemm() && isa().library_keeps_order;
  return isa().has_products && (!library || std::min(one_side, other) < kNarrow);
}

}  // namespace

void multiply(const Tensor& x, const Factor& weight, const Tensor& out, const Tensor& bias, const Tensor& residual) {
  if (out.numel() == 0) return;
  if (takes_own(x.size(1), out.size(1))) return by_panels(x, weight, out, bias, data_or_null<float>(residual));
  const bool start = bias.defined() || residual.defined(), there = residual.defined() && residual.is_same(out);
  TORCH_INTERNAL_ASSERT(!there || !bias.defined());
  if (start && !there) linear_op::prefill(out, bias, residual);
  by_library({x}, weight, out, start);
}

Tensor weight_gradient(const Tensor& dy, const Tensor& input) {
  const Tensor a = rows(dy), b = rows(input), out = at::empty({a.size(1), b.size(1)}, dy.options());
  if (out.numel() == 0) return out;
  if (a.size(0) == 0) {
    out.zero_();
  } else if (takes_own(out.size(0), out.size(1))) {
    outer_either_way(a, b, out);
  } else {
    by_library({a, true}, {b}, out, false);
  }
  return out;
}

namespace {

LayerNormArgs args_of(const Tensor& x, const Tensor& weight, double eps, const Tensor& out) {
  LayerNormArgs a{};
  a.columns = x.size(-1), a.rows = x.numel() / a.columns, a.eps = static_cast<float>(eps);
  a.x = data_or_null<float>(x), a.weight = data_or_null<float>(weight), a.out = data_or_null<float>(out);
  return a;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const Tensor out = at::empty(x.sizes(), x.options());
  LayerNormArgs a = args_of(x, weight, eps, out);
  a.bias = data_or_null<float>(bias);
  const auto kernel = isa().layer_norm_forward;
  at::parallel_for(0, a.rows, std::max<int64_t>(1, 16384 / a.columns),
                   [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
  return out;
}

Tensor layer_norm_backward(const Tensor& x, const Tensor& weight, double eps, const Tensor& grad, const Tensor& skip,
                           const Tensor& dx) {
  LayerNormArgs a = args_of(x, weight, eps, dx);
  // From the shapes alone, so that the sums are the same for any number of threads.
  a.rows_per_chunk = std::max<int64_t>({1, 16384 / a.columns, (a.rows + 63) / 64});
  const Tensor sums = at::empty({chunks_of(a), 3, a.columns}, x.options());
  a.grad_y = data_or_null<float>(grad), a.residual = data_or_null<float>(skip), a.sums = data_or_null<float>(sums);
  run_chunks(a, isa().layer_norm_backward);
  return sums.sum(0);
}

Tensor add_product(const Tensor& x, const Tensor& scale, const Tensor& input, const Tensor& weight,
                   const Tensor& bias) {
  const Tensor out = like(x, weight.size(0));
  multiply(rows(input), {weight, true}, rows(out), bias, scale.defined() ? Tensor() : rows(x));
  if (scale.defined()) out.mul_(scale.view({-1, 1, 1})).add_(x);
  return out;
}

void check_stream(const char* op, const Tensor& x) {
  TORCH_CHECK(x.dim() == 3 && x.is_cpu() && x.scalar_type() == at::kFloat, op, ": got x of shape ", x.sizes(), " (",
              x.scalar_type(), " on ", x.device(), "), expected float32 [batch, length, d_model] on the CPU.");
}

}  // namespace mamba_prune::branch_op
