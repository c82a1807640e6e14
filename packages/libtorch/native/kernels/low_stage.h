// Stages of a block in low precision, by all threads of a team: the rows that a product reads are converted where they
// are made, while they lie in the first-level cache.
// Included by isa_table.h after team_kernel.h and low_math.h.
namespace mamba_prune {
namespace MP_ISA {

MP_INLINE uint8_t* bytes_at(float* at) { return reinterpret_cast<uint8_t*>(at); }
MP_INLINE uint16_t* numbers_at(float* at) { return reinterpret_cast<uint16_t*>(at); }

// Each thread takes panels of weights, or where there are few, some of the rows of a panel.
inline void low_multiply_stage(const Team& team, const LowKernels& kernels, const LowProduct& g, const LowRows& rows) {
  const int64_t panels = (g.weight.columns + kLowPanel - 1) / kLowPanel;
  const int64_t tiles = (g.rows + kernels.tile - 1) / kernels.tile, slices = team.slices(panels, tiles);
  if (slices == 1) return kernels.multiply(g, rows, team.first(panels), team.last(panels), 0, g.rows);
  for (int64_t task = team.first(panels * slices); task < team.last(panels * slices); task++) {
    const int64_t slice = task % slices, past = tiles * (slice + 1) / slices * kernels.tile;
    const int64_t panel = task / slices, begin = tiles * slice / slices * kernels.tile;
    kernels.multiply(g, rows, panel, panel + 1, begin, past < g.rows ? past : g.rows);
  }
}

inline void low_convert_stage(const Team& team, const LowKernels& kernels, const float* x, int64_t columns,
                              int64_t count, const LowRows& rows) {
  kernels.convert(x, columns, columns, rows, team.first(count), team.last(count));
}

struct LowMlp {
  LowMatrix fc1;
  const float* fc1_bias;
  LowMatrix fc2;
  const float* fc2_bias;
};

// gelu(fc1(normed)), in bf16 stored as fc2 reads it, then y = y + fc2 of that. The first ends with a barrier.
inline void low_fc1_stage(const Team& team, const LowKernels& kernels, int64_t rows, const LowMlp& m,
                          const LowRows& normed, float* hidden, const LowRows& activated) {
  const bool keeps = keeps_hidden(&kernels);
  low_multiply_stage(
      team, kernels,
      {rows, m.fc1, hidden, m.fc1.columns, m.fc1_bias, nullptr, Activation::gelu, keeps ? nullptr : activated.values},
      normed);
  team.wait();
  if (keeps) {
    low_convert_stage(team, kernels, hidden, m.fc1.columns, rows, activated);
    team.wait();
  }
}
inline void low_fc2_stage(const Team& team, const LowKernels& kernels, int64_t rows, const LowMlp& m,
                          const LowRows& activated, float* y) {
  low_multiply_stage(team, kernels, {rows, m.fc2, y, m.fc2.columns, m.fc2_bias, y}, activated);
}

// The sum of x, or of its squared differences from `mean`. Four sums, of which none waits for another.
template <bool Squares> inline float low_sum(const float* x, int64_t columns, float mean) {
  VF sum[4] = {};
  int64_t c = 0;
  for (; c + 4 * kWidth <= columns; c += 4 * kWidth)
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      const VF value = load(x + c + i * kWidth), d = value - mean;
      sum[i] += Squares ? d * d : value;
    }
  for (; c < columns; c += kWidth) {
    const int64_t left = columns - c;
    const VF value = load_n<true>(x + c, left), d = _mm512_maskz_sub_ps(lanes_below(left), value, splat<float>(mean));
    sum[0] += Squares ? d * d : value;
  }
  return _mm512_reduce_add_ps((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <bool Tail> MP_INLINE void low_norm_some(const float* x, const float* weight, const float* bias, float mean,
                                                  float scale, int64_t left, float* out) {
  VF y = (load_n<Tail>(x, left) - mean) * scale * load_n<Tail>(weight, left);
  if (bias) y += load_n<Tail>(bias, left);
  store_n<Tail>(out, y, left);
}

// (x - mean) / sqrt(variance + eps) weight + bias, or RMSNorm where there is no bias.
inline void low_norm(const float* x, const float* weight, const float* bias, float eps, int64_t columns, float* out) {
  const float share = 1.0f / static_cast<float>(columns);
  const float mean = bias ? low_sum<false>(x, columns, 0) * share : 0.0f;
  const float scale = 1.0f / __builtin_sqrtf(low_sum<true>(x, columns, mean) * share + eps);
  int64_t c = 0;
  for (; c + kWidth <= columns; c += kWidth)
    low_norm_some<false>(x + c, weight + c, bias ? bias + c : nullptr, mean, scale, kWidth, out + c);
  if (c < columns) low_norm_some<true>(x + c, weight + c, bias ? bias + c : nullptr, mean, scale, columns - c, out + c);
}

// `row` is working memory of a row.
inline void low_norm_stage(const Team& team, const LowKernels& kernels, int64_t count, int64_t columns, const float* x,
                           const float* weight, const float* bias, float eps, const LowRows& rows, float* row) {
  for (int64_t r = team.first(count); r < team.last(count); r++) {
    low_norm(x + r * columns, weight, bias, eps, columns, row);
    kernels.convert(row, 0, columns, rows, r, r + 1);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
