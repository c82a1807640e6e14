// mamba_prune::ssm_block on CUDA: x + scale * out_proj(ssm(norm(x))), one or two scan directions, with its backward
// pass written out. Nothing is computed that a fusion can save: the residual is added by the last product, its gradient
// by the normalisation's backward pass, and both halves of in_proj's gradient are written in place.
#include <torch/library.h>

#include <algorithm>

#include "gradient_batch.h"
#include "launch.h"
#include "mlp_train.h"
#include "norm_in_proj.h"
#include "scan_tiles.h"
#include "ssm_block.h"

namespace mamba_prune::cuda::ssm_block_op {

Block Block::read(const Tensor& x, const Tensor& norm_weight, const Tensor& norm_bias, double eps,
                  const variable_list& weights, const variable_list& packed) {
  const char* op = kName;
  TORCH_CHECK(weights.size() == kShared + kPerDirection || weights.size() == kShared + 2 * kPerDirection, op, ": got ",
              weights.size(), " weights, expected ", kShared + kPerDirection, ", or ", kShared + 2 * kPerDirection,
              " for two directions.");
  const size_t directions = (weights.size() - kShared) / kPerDirection;
  const size_t matrices = kShared + directions * kPackedPerDirection;
  TORCH_CHECK(packed.size() == matrices || packed.size() == matrices + 1 + directions, op, ": got ", packed.size(),
              " packed weights, expected ", matrices, ", or ", matrices + 1 + directions, " with their units.");
  const bool has_units = packed.size() > matrices;
  check_rows(op, x);
  Block b;
  b.norm_weight = norm_weight, b.norm_bias = norm_bias, b.eps = eps;
  b.in_proj = weights[0], b.out_proj = weights[1], b.packed_in = packed[0], b.packed_out = packed[1];
  if (has_units) b.units = packed[matrices];
  b.model = x.size(2), b.type = x.scalar_type();
  check_shape(op, "norm weight", norm_weight, {b.model}, at::kFloat, x);
  if (norm_bias.defined()) {
    check_shape(op, "norm bias", norm_bias, {b.model}, at::kFloat, x);
  } else {
    TORCH_CHECK(b.type == at::kFloat, op, ": got x of dtype ", b.type, " and a normalisation without a bias, expected ",
                "float32, as a residual stream under RMSNorm is.");
    b.type = b.packed_in.scalar_type();
    TORCH_CHECK(b.type == at::kFloat || b.type == at::kHalf || b.type == at::kBFloat16, op,
                ": got packed weights of dtype ", b.type, ", expected float32, float16 or bfloat16.");
  }
  TORCH_CHECK(b.out_proj.dim() == 2 && b.packed_out.dim() == 2, op, ": got out_proj of shape ", b.out_proj.sizes(),
              ", expected [d_model, d_inner].");
  b.channels = b.out_proj.size(1), b.width = b.packed_out.size(1);
  TORCH_CHECK(b.channels > 0 && b.width >= b.channels, op, ": got d_inner ", b.channels, " padded to ", b.width, ".");
  check_shape(op, "in_proj", b.in_proj, {2 * b.channels, b.model}, at::kFloat, x);
  check_shape(op, "out_proj", b.out_proj, {b.model, b.channels}, at::kFloat, x);
  check_shape(op, "packed in_proj", b.packed_in, {2 * b.width, b.model}, b.type, x);
  check_shape(op, "packed out_proj", b.packed_out, {b.model, b.width}, b.type, x);
  for (size_t i = 0; i < directions; i++) {
    const Tensor* w = &weights[kShared + i * kPerDirection];
    Direction d{w[0], w[1], w[2], w[3], w[4], w[5], w[6], packed[kShared + 2 * i], packed[kShared + 2 * i + 1], {}};
    if (has_units && packed[matrices + 1 + i].numel() > 0) d.panels = packed[matrices + 1 + i];
    TORCH_CHECK(d.dt_weight.dim() == 2 && d.A_log.dim() == 2 && d.conv_weight.dim() == 3 && d.packed_x.dim() == 2 &&
                    d.packed_dt.dim() == 2,
                op,
                ": got weights of other dimensions than conv1d [d_inner, 1, taps], dt_proj [d_inner, dt_rank], A_log "
                "[d_inner, d_state].");
    if (i == 0) {
      b.rank = d.dt_weight.size(1), b.rank_width = d.packed_dt.size(1), b.states = d.A_log.size(1),
      b.columns = d.packed_x.size(0);
      TORCH_CHECK(b.rank > 0 && b.states > 0 && b.rank_width >= b.rank && b.columns >= b.rank_width + 2 * b.states, op,
                  ": got dt_rank ", b.rank, " padded to ", b.rank_width, ", d_state ", b.states,
                  " and x_proj padded to ", b.columns, " rows.");
    }
    check_shape(op, "conv1d weight", d.conv_weight, {b.channels, 1, d.conv_weight.size(2)}, at::kFloat, x);
    TORCH_CHECK(d.conv_weight.size(2) >= 1 && d.conv_weight.size(2) <= 8, op, ": got ", d.conv_weight.size(2),
                " taps, expected 1 to 8.");
    check_shape(op, "conv1d bias", d.conv_bias, {b.channels}, at::kFloat, x);
    check_shape(op, "x_proj", d.x_proj, {b.rank + 2 * b.states, b.channels}, at::kFloat, x);
    check_shape(op, "dt_proj weight", d.dt_weight, {b.channels, b.rank}, at::kFloat, x);
    check_shape(op, "dt_proj bias", d.dt_bias, {b.channels}, at::kFloat, x);
    check_shape(op, "A_log", d.A_log, {b.channels, b.states}, at::kFloat, x),
        check_shape(op, "D", d.D, {b.channels}, at::kFloat, x);
    check_shape(op, "packed x_proj", d.packed_x, {b.columns, b.width}, b.type, x);
    check_shape(op, "packed dt_proj", d.packed_dt, {b.width, b.rank_width}, b.type, x);
    b.directions.push_back(std::move(d));
  }
  b.norm_weight = aligned(norm_weight), b.norm_bias = aligned(norm_bias);
  return b;
}

namespace {

Conv conv_of(const Block& b, const Direction& d, const Tensor& xz, bool reverse) {
  return {xz.narrow(2, 0, b.width), d.conv_weight.view({b.channels, d.conv_weight.size(2)}), d.conv_bias, true,
          reverse};
}

Scan scan_of(const Block& b, const Direction& d, const Kept& kept, const Kept::Scanned& scanned, const Tensor& scale,
             bool reverse) {
  Scan s;
  s.u = scanned.u, s.delta = scanned.delta, s.z = kept.xz.narrow(2, b.width, b.width);
  s.B = scanned.projected.narrow(2, b.rank_width, b.states),
  s.C = scanned.projected.narrow(2, b.rank_width + b.states, b.states);
  s.A = d.A_log, s.D = d.D, s.bias = d.dt_bias, s.scale = scale;
  s.softplus = s.a_is_log = true, s.reverse = reverse, s.channels = b.channels;
  return s;
}

}  // namespace

Tensor Block::normed(const Tensor& x) const {
  const Tensor n = at::empty(x.sizes(), x.options().dtype(type));
  if (norm_bias.defined()) norm_forward(x, norm_weight, norm_bias, eps, n);
  else rms_norm_forward(x, norm_weight, eps, n);
  return n;
}

void Block::begin(const Tensor& x, Kept& kept, bool keep) const {
  kept.xz = at::empty({x.size(0), x.size(1), 2 * width}, x.options().dtype(type));
  if (!keep && !norm_bias.defined() && norm_in_proj_runs(x, norm_weight, packed_in)) {
    norm_in_proj(x, norm_weight, eps, packed_in, kept.xz);
    return;
  }
  if (keep && norm_bias.defined() && mlp_train_runs(model, width, type)) {
    kept.n = at::empty_like(x);
    kept.units = units.defined() ? units : in_proj_units(in_projection());
    in_proj_forward(in_projection(), kept.units, x, kept.n, kept.xz);
    return;
  }
  kept.n = normed(x);
  gemm(mat(kept.n), false, mat(packed_in), true, mat(kept.xz), type, type);
}

// Whether one kernel makes the step sizes and scans.
bool Block::scans_in_tiles() const {
  return std::all_of(directions.begin(), directions.end(),
                     [&](const Direction& d) { return scan_tiles_run(type, states, width, columns, d.packed_dt); });
}

std::vector<Kept::Scanned> Block::inputs(const Tensor& xz, bool keep) const {
  const auto like = [&](int64_t count) { return at::empty({xz.size(0), xz.size(1), count}, xz.options()); };
  std::vector<Kept::Scanned> all;
  std::vector<Conv> convs;
  const bool fused = keep && projections_run({width, rank_width, states, columns}, type);
  std::optional<Aside> beside;
  const bool tiles = scans_in_tiles();
  for (size_t i = 0; i < directions.size(); i++) {
    const Direction& d = directions[i];
    all.push_back({like(width), like(columns), keep || !tiles ? like(width) : Tensor(), Tensor(), Tensor()});
    convs.push_back(conv_of(*this, d, xz, i == 1));
    if (!fused) continue;
    all[i].panels = d.panels.defined() ? d.panels : proj_panels(d.packed_x);
    if (d.panels.defined()) continue;
    if (!beside) beside.emplace();
    beside->run([&] { proj_pack(d.packed_x, d.packed_dt, all[i].panels); });
  }
  if (convs.size() == 2 && convs[0].weight.size(1) == convs[1].weight.size(1)) {
    conv_forward_both(convs[0], convs[1], all[0].u, all[1].u);
  } else {
    for (size_t i = 0; i < convs.size(); i++) conv_forward(convs[i], all[i].u);
  }
  if (beside) beside->join();
  for (size_t i = 0; i < all.size(); i++) {
    const Kept::Scanned& s = all[i];
    // Where the scan makes the step sizes, a library's product of x_proj alone is faster.
    if (fused && !tiles) {
      proj_forward(s.panels, s.u, s.projected, s.delta);
      continue;
    }
    gemm(mat(s.u), false, mat(directions[i].packed_x), true, mat(s.projected), type, type);
    if (tiles) continue;
    gemm(mat(s.projected.narrow(2, 0, rank_width)), false, mat(directions[i].packed_dt), true, mat(s.delta), type,
         type);
  }
  return all;
}

Tensor Block::finish(const Tensor& x, const Tensor& scale, Kept& kept, bool keep) const {
  kept.y = at::empty({x.size(0), x.size(1), width}, kept.xz.options());
  std::vector<Kept::Scanned> scans = inputs(kept.xz, keep);
  const auto scan_at = [&](size_t i) { return scan_of(*this, directions[i], kept, scans[i], scale, i == 1); };
  if (scans_in_tiles()) {
    std::vector<TileScan> all;
    for (size_t i = 0; i < scans.size(); i++) {
      const Scan scan = scan_at(i);
      if (keep) scans[i].checkpoints = scan_checkpoints(scan);
      all.push_back({scan, scans[i].projected, directions[i].packed_dt, scans[i].checkpoints});
    }
    scan_tiles(all, kept.y);
  } else {
    for (size_t i = 0; i < scans.size(); i++) {
      const Scan scan = scan_at(i);
      if (keep) scans[i].checkpoints = scan_checkpoints(scan);
      scan_forward(scan, kept.y, i == 1, Tensor(), scans[i].checkpoints);
    }
  }
  if (keep) kept.scans = std::move(scans);
  Tensor out = at::empty_like(x, at::MemoryFormat::Contiguous);
  const Mat residual = mat(x);
  Extra extra;
  extra.add = &residual;
  gemm(mat(kept.y), false, mat(packed_out), true, mat(out), type, x.scalar_type(), extra);
  return out;
}

Tensor Block::forward(const Tensor& x, const Tensor& scale, Kept* keep) const {
  Kept kept;
  begin(x, kept, keep != nullptr);
  const Tensor out = finish(x, scale, kept, keep != nullptr);
  if (keep) *keep = std::move(kept);
  return out;
}

// Gradients of x, norm weight, norm bias where there is one, then of the weights in their order.
variable_list Block::backward(const Tensor& x, const Tensor& scale, const Kept& kept, const Tensor& dout) const {
  const auto like = [&](int64_t columns) { return at::empty({x.size(0), x.size(1), columns}, kept.xz.options()); };
  const auto gradient = [&](int64_t rows, int64_t columns) {
    return at::empty({rows, columns}, x.options().dtype(at::kFloat));
  };
  variable_list result(3 + kShared + directions.size() * kPerDirection);
  // Narrow, all gradients of weights wait for the last kernel, and are two launches; else they run beside the others.
  std::optional<GradientBatch> batch;
  std::optional<Aside> beside;
  if (GradientBatch::fits(2 * width, type) && model % 8 == 0) batch.emplace();
  else beside.emplace();
  const Tensor dy = like(width), dbranch = dout.to(type);
  gemm(mat(dbranch), false, mat(packed_out), false, mat(dy), type, type);
  Tensor d_out_proj;
  if (batch) {
    d_out_proj = batch->product(kept.y, dbranch, first_of(channels), first_of(model), true);
  } else {
    d_out_proj = gradient(model, width);
    aside([&] { gemm(mat(dbranch), true, mat(kept.y), false, mat(d_out_proj), type, at::kFloat); });
  }
  const Tensor dxz = like(2 * width);
  for (size_t i = 0; i < directions.size(); i++) {
    const Direction& d = directions[i];
    const Kept::Scanned& scanned = kept.scans[i];
    ScanGradients g;
    g.du = like(width), g.ddelta = like(width), g.dz = dxz.narrow(2, width, width);
    scan_backward(scan_of(*this, d, kept, scanned, scale, i == 1), dy, Tensor(), scanned.checkpoints, i == 1, false, g);
    const Tensor dprojected = like(columns), dx_conv = dxz.narrow(2, 0, width);
    const Conv conv = conv_of(*this, d, kept.xz, i == 1);
    // What u gets through the projections is added to du where du is read, if it can be. Of two directions that was
    // measured as a little slower.
    Through through;
    if (directions.size() == 1 && scanned.panels.defined() && conv_backward_adds(conv, g.du, dx_conv, columns))
      through = {dprojected, d.packed_x};
    Tensor d_dt;  // where it is made beside what goes back to the numbers of low rank
    if (through.gradient.defined() && !batch && dt_gradients_run({width, rank_width, states, columns}, type)) {
      d_dt = dt_gradients(g.ddelta, d.packed_dt, scanned.projected, g.states, dprojected);
    } else if (scanned.panels.defined()) {
      proj_backward(scanned.panels, g.ddelta, g.states, dprojected, through.gradient.defined() ? Tensor() : g.du);
    } else {
      aside([&] { reduce_states(g, states, dprojected, rank_width); });
      gemm(mat(g.ddelta), false, mat(d.packed_dt), false, mat(dprojected.narrow(2, 0, rank_width)), type, type);
      if (beside) beside->join();
    }
    Tensor* to = &result[3 + kShared + i * kPerDirection];
    const Tensor step_sizes = scanned.projected.narrow(2, 0, rank_width);
    if (batch) {
      to[3] = batch->product(g.ddelta, step_sizes, first_of(channels), first_of(rank));
      to[2] = batch->product(scanned.u, dprojected, first_of(channels),
                             around(rank, rank_width - rank, rank + 2 * states), true);
    } else {
      const Tensor d_x_proj = gradient(columns, width);
      if (!d_dt.defined()) {
        d_dt = gradient(width, rank_width);
        aside([&] { gemm(mat(g.ddelta), true, mat(step_sizes), false, mat(d_dt), type, at::kFloat); });
      }
      aside([&] { gemm(mat(dprojected), true, mat(scanned.u), false, mat(d_x_proj), type, at::kFloat); });
      for (const Tensor& t : {g.ddelta, dprojected}) beside->keep(t);
      to[2] = d_x_proj, to[3] = d_dt;
    }
    if (!scanned.panels.defined()) {
      const Mat du = mat(g.du);
      Extra add;
      add.add = &du;
      gemm(mat(dprojected), false, mat(d.packed_x), false, du, type, type, add);
    }
    const auto [d_conv, d_conv_bias] = conv_backward(conv, g.du, dx_conv, i == 1, through);
    to[0] = d_conv.view_as(d.conv_weight), to[1] = d_conv_bias;
    to[4] = g.dbias, to[5] = g.dA, to[6] = g.dD;
  }
  Tensor d_in_proj;
  if (batch) {
    d_in_proj = batch->product(dxz, kept.n, around(channels, width - channels, 2 * channels), first_of(model));
  } else {
    d_in_proj = gradient(2 * width, model);
    aside([&] { gemm(mat(dxz), true, mat(kept.n), false, mat(d_in_proj), type, at::kFloat); });
  }
  const Tensor dx = at::empty_like(x, at::MemoryFormat::Contiguous);
  const Tensor dn = kept.units.defined() ? Tensor() : like(model);
  if (dn.defined()) gemm(mat(dxz), false, mat(packed_in), false, mat(dn), type, type);
  if (kept.units.defined()) {
    const Tensor d_norm = in_proj_backward(in_projection(), kept.units, x, dxz, dout, dx);
    result[1] = d_norm.select(0, 0), result[2] = d_norm.select(0, 1);
  } else if (norm_bias.defined()) {
    const Tensor d_norm = norm_backward(x, norm_weight, eps, dn, dout, dx);
    result[1] = d_norm.select(0, 0), result[2] = d_norm.select(0, 1);
  } else {
    result[1] = rms_norm_backward(x, norm_weight, eps, dn, dout, dx);
  }
  result[0] = dx;
  if (batch) {
    batch->run();
    result[3] = d_in_proj, result[4] = d_out_proj;
    return result;
  }
  beside->join();
  // Without the padding.
  for (size_t i = 0; i < directions.size(); i++) {
    Tensor &d_x_proj = result[3 + kShared + i * kPerDirection + 2], &d_dt = result[3 + kShared + i * kPerDirection + 3];
    if (rank != rank_width || columns != rank + 2 * states || width != channels)
      d_x_proj = at::cat({d_x_proj.narrow(0, 0, rank), d_x_proj.narrow(0, rank_width, 2 * states)})
                     .narrow(1, 0, channels)
                     .contiguous();
    d_dt = d_dt.narrow(0, 0, channels).narrow(1, 0, rank).contiguous();
  }
  if (width != channels) {
    d_in_proj = at::cat({d_in_proj.narrow(0, 0, channels), d_in_proj.narrow(0, width, channels)});
    d_out_proj = d_out_proj.narrow(1, 0, channels).contiguous();
  }
  result[3] = d_in_proj, result[4] = d_out_proj;
  return result;
}

TORCH_LIBRARY_FRAGMENT(mamba_prune, m) {
  m.def(
      "ssm_block(Tensor x, Tensor norm_weight, Tensor? norm_bias, float eps, Tensor[] weights, Tensor[] packed, "
      "Tensor? scale=None) -> Tensor");
}
TORCH_LIBRARY_IMPL(mamba_prune, CUDA, m) { m.impl("ssm_block", branch_plain<Block>); }
TORCH_LIBRARY_IMPL(mamba_prune, AutogradCUDA, m) { m.impl("ssm_block", branch_with_autograd<Block>); }

}  // namespace mamba_prune::cuda::ssm_block_op
