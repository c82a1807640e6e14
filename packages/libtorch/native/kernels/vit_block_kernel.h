// A whole block of a vision transformer, forward only:
//   x = x + proj(attention(norm1(x))),  y = x + fc2(gelu(fc1(norm2(x)))).
// As with the Mamba's (block_kernel.h), one call does the block, with one parallel region and a barrier between stages.
// Included by isa_*.cc after packed_gemm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// softmax(scale * row) in place; what lies behind `count` up to the next full register is overwritten.
inline void softmax_row(float* row, int64_t count, float scale) {
  constexpr float lowest = -__builtin_inff();
  const int64_t padded = (count + kWidth - 1) / kWidth * kWidth;
  for (int64_t i = count; i < padded; i++) row[i] = lowest;
  VF highest = load(row);
  for (int64_t i = kWidth; i < padded; i += kWidth) highest = max(highest, load(row + i));
  float most = highest[0];
  for (int i = 1; i < kWidth; i++) most = highest[i] > most ? highest[i] : most;
  VF total{};
  for (int64_t i = 0; i < padded; i += kWidth) {
    VF e = exp<float>((load(row + i) - most) * scale);
    if (count - i < kWidth)
      for (int lane = 0; lane < kWidth; lane++) e[lane] = lane < count - i ? e[lane] : 0.0f;
    total += e;
    store<float>(row + i, e);
  }
  const float factor = 1.0f / sum_lanes<float>(total);
  for (int64_t i = 0; i < padded; i += kWidth) store<float>(row + i, load(row + i) * factor);
}

// Panels of `values` [length, head_dim], rows `stride` apart, as they are: the depth of this product is the length.
inline void pack_values(const float* values, int64_t stride, int64_t length, int64_t head_dim, float* out) {
  for (int64_t c = 0; c < head_dim; c += kPanel)
    for (int64_t k = 0; k < length; k++, out += kPanel)
      for (int64_t half = 0; half < kPanel; half += kWidth)
        store<float>(out + half, load_n<true>(values + k * stride + c + half, head_dim - c - half));
}

// One head of one sample, queries [begin, end).
inline void attend(const VitArgs& a, int64_t sample, int64_t head, int64_t begin, int64_t end, float* scratch) {
  const VitSizes& s = a.sizes;
  const int64_t inner = s.inner(), stride = 3 * inner, d = s.head_dim;
  const float* q = a.buffers.qkv + sample * s.length * stride + head * d;
  const AttentionScratch layout(s, kPanel);
  float *keys = scratch + layout.keys, *values = scratch + layout.values, *scores = scratch + layout.scores;
  const int64_t key_panel = (d + kWidth - 1) / kWidth * kWidth * kPanel;
  for (int64_t j = 0; j < s.length; j += kPanel)
    pack_panel(keys + j / kPanel * key_panel, q + inner + j * stride, stride,
               s.length - j < kPanel ? s.length - j : kPanel, d);
  pack_values(q + 2 * inner, stride, s.length, d, values);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
  for (int64_t row = begin; row < end; row += kAttentionRows) {
    const int64_t rows = end - row < kAttentionRows ? end - row : kAttentionRows;
    packed_product({q + row * stride, stride, rows, d, keys, key_panel, s.length, scores, layout.score_stride});
    for (int64_t r = 0; r < rows; r++) softmax_row(scores + r * layout.score_stride, s.length, scale);
    packed_product({scores, layout.score_stride, rows, s.length, values, s.length * kPanel, d,
                    a.buffers.seen + (sample * s.length + row) * inner + head * d, inner});
  }
}

inline void attention_stage(const VitArgs& a, const Team& team, float* scratch) {
  const VitSizes& s = a.sizes;
  const int64_t pairs = a.batch * s.heads, slices = team.slices(pairs, s.length), tasks = pairs * slices;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t pair = task / slices, slice = task % slices;
    attend(a, pair / s.heads, pair % s.heads, s.length * slice / slices, s.length * (slice + 1) / slices, scratch);
  }
}

// out = x W^T + bias (+ residual), all of them row after row without gaps; ends with a barrier.
inline void vit_product(const VitArgs& a, const Team& team, const float* x, int64_t depth, const VitMatrix& weight,
                        int64_t columns, float* out, const float* bias, const float* residual = nullptr) {
  packed_stage(team, {x, depth, a.batch * a.sizes.length, depth, weight.panels, depth * kPanel, columns, out, columns,
                      bias, residual});
  team.wait();
}

// y = y + fc2(gelu(fc1(normed))), some neurons at a time, which are in the second-level cache when fc2 reads them.
inline void mlp_stages(const VitArgs& a, const Team& team) {
  const VitSizes& s = a.sizes;
  const VitWeights& w = a.weights;
  const VitBuffers& b = a.buffers;
  const int64_t rows = a.batch * s.length, stride = s.neurons();
  for (int64_t k = 0; k < s.hidden; k += stride) {
    const int64_t count = s.hidden - k < stride ? s.hidden - k : stride;
    packed_stage(team, {b.normed, s.model, rows, s.model, w.fc1.panels + k * s.model, s.model * kPanel, count, b.hidden,
                        stride, w.fc1_bias + k, nullptr, Activation::gelu});
    team.wait();
    packed_stage(team, {b.hidden, stride, rows, count, w.fc2.panels + k * kPanel, s.hidden * kPanel, s.model, a.y,
                        s.model, k ? nullptr : w.fc2_bias, a.y});
    team.wait();
  }
}

inline void vit_forward(const VitArgs& a, int64_t part, int64_t parts, float* scratch) {
  const Team team{part, parts};
  const VitSizes& s = a.sizes;
  const VitWeights& w = a.weights;
  const VitBuffers& b = a.buffers;
  const int64_t rows = a.batch * s.length, inner = s.inner();
  norm_stage(team, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, b.normed);
  team.wait();
  vit_product(a, team, b.normed, s.model, w.qkv, 3 * inner, b.qkv, w.qkv_bias);
  attention_stage(a, team, scratch);
  team.wait();
  vit_product(a, team, b.seen, inner, w.proj, s.model, a.y, w.proj_bias, a.x);
  norm_stage(team, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, b.normed);
  team.wait();
  mlp_stages(a, team);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
