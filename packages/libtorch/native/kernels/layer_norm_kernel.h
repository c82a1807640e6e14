// LayerNorm over the last dimension (Ba et al. 2016), forward and backward, float32. Included by isa_*.cc after
// rms_norm_kernel.h and gemm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

struct RowMoments {
  float mean, scale;  // 1 / sqrt(variance + eps)
};

// In pairs, and pairs of pairs: no addition waits for more than a few others.
MP_INLINE double sum_exactly(VF v) {
  double sums[kWidth];
  for (int i = 0; i < kWidth; i++) sums[i] = static_cast<double>(v[i]);
#pragma GCC unroll 4
  for (int half = kWidth / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) sums[i] += sums[i + half];
  return sums[0];
}

// Sums of a row that do not wait for each other.
constexpr int64_t kRowSums = 4;
MP_INLINE VF sum_of(const VF (&sums)[kRowSums]) { return (sums[0] + sums[1]) + (sums[2] + sums[3]); }
MP_INLINE VF row_total(const float* x, int64_t columns) {
  VF sums[kRowSums] = {};
  int64_t c = 0;
  for (; c + kRowSums * kWidth <= columns; c += kRowSums * kWidth)
#pragma GCC unroll 4
    for (int64_t i = 0; i < kRowSums; i++) sums[i] += load(x + c + i * kWidth);
  for (; c < columns; c += kWidth) sums[0] += load_n<true>(x + c, columns - c);
  return sum_of(sums);
}
// The squares around the mean.
MP_INLINE VF row_squares(const float* x, float mean, int64_t columns) {
  VF sums[kRowSums] = {};
  int64_t c = 0;
  for (; c + kRowSums * kWidth <= columns; c += kRowSums * kWidth)
#pragma GCC unroll 4
    for (int64_t i = 0; i < kRowSums; i++) {
      const VF d = load(x + c + i * kWidth) - mean;
      sums[i] += d * d;
    }
  for (; c < columns; c += kWidth) {
    VF d = load_n<true>(x + c, columns - c) - mean;
    if (columns - c < kWidth)
      for (int i = 0; i < kWidth; i++) d[i] = i < columns - c ? d[i] : 0.0f;
    sums[0] += d * d;
  }
  return sum_of(sums);
}

// The mean first, then the variance around it. In training (`Exact`) the last sums are of float64: AdamW's first steps
// turn the error of a tiny gradient into one of a whole step.
template <bool Exact> inline RowMoments row_moments(const float* x, float eps, int64_t columns) {
  const VF total = row_total(x, columns);
  const float mean = Exact ? static_cast<float>(sum_exactly(total) / static_cast<double>(columns))
                           : sum_lanes<float>(total) / static_cast<float>(columns);
  const VF squares = row_squares(x, mean, columns);
  if (!Exact) return {mean, 1.0f / __builtin_sqrtf(sum_lanes<float>(squares) / static_cast<float>(columns) + eps)};
  const double variance = sum_exactly(squares) / static_cast<double>(columns);
  return {mean, static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(eps)))};
}

template <bool Exact>
inline void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t columns, float* out) {
  const RowMoments m = row_moments<Exact>(x, eps, columns);
  for (int64_t c = 0; c < columns; c += kWidth) {
    const VF d = (load_n<true>(x + c, columns - c) - m.mean) * m.scale;
    store_n<true>(out + c, d * load_n<true>(weight + c, columns - c) + load_n<true>(bias + c, columns - c),
                  columns - c);
  }
}

inline void layer_norm_forward(const LayerNormArgs& a, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; r++)
    layer_norm<true>(a.x + r * a.columns, a.weight, a.bias, a.eps, a.columns, a.out + r * a.columns);
}

// With n = (x - mean) scale and g = grad weight the gradient of x is scale (g - mean(g) - n mean(g n)), to which that
// of the skip connection around the branch is added. Each chunk [begin, end) of rows_per_chunk rows has its own sums.
inline void layer_norm_backward(const LayerNormArgs& a, int64_t begin, int64_t end) {
  const double per_column = 1.0 / static_cast<double>(a.columns);
  for (int64_t chunk = begin; chunk < end; chunk++) {
    const int64_t first = chunk * a.rows_per_chunk;
    const int64_t last = first + a.rows_per_chunk < a.rows ? first + a.rows_per_chunk : a.rows;
    float *grad_weight = a.sums + chunk * 3 * a.columns, *grad_bias = grad_weight + a.columns,
          *around = grad_bias + a.columns;
    for (int64_t c = 0; c < 3 * a.columns; c++) grad_weight[c] = 0.0f;
    for (int64_t r = first; r < last; r++) {
      const float *x = a.x + r * a.columns, *grad = a.grad_y + r * a.columns, *skip = a.residual + r * a.columns;
      const RowMoments m = row_moments<true>(x, a.eps, a.columns);
      VF total{}, along{};
      for (int64_t c = 0; c < a.columns; c += kWidth) {
        const int64_t left = a.columns - c;
        const VF n = (load_n<true>(x + c, left) - m.mean) * m.scale, dy = load_n<true>(grad + c, left),
                 g = dy * load_n<true>(a.weight + c, left);
        total += g, along += g * n;
        store_n<true>(grad_weight + c, load_n<true>(grad_weight + c, left) + dy * n, left);
        store_n<true>(grad_bias + c, load_n<true>(grad_bias + c, left) + dy, left);
        store_n<true>(around + c, load_n<true>(around + c, left) + load_n<true>(skip + c, left), left);
      }
      const float mean = static_cast<float>(sum_exactly(total) * per_column),
                  slope = static_cast<float>(sum_exactly(along) * per_column);
      float* out = a.out + r * a.columns;
      for (int64_t c = 0; c < a.columns; c += kWidth) {
        const int64_t left = a.columns - c;
        const VF n = (load_n<true>(x + c, left) - m.mean) * m.scale,
                 g = load_n<true>(grad + c, left) * load_n<true>(a.weight + c, left);
        store_n<true>(out + c, load_n<true>(skip + c, left) + ((g - mean) - n * slope) * m.scale, left);
      }
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
