// What the fused inference kernels share: the threads that work on one block, and LayerNorm.
// `part` of `parts` threads work on the same rows; with parts == 1 a thread works on samples of its own.
// Included by isa_*.cc after gemm_kernel.h and rms_norm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

struct Team {
  int64_t part, parts;
  int64_t first(int64_t tasks) const { return tasks * part / parts; }
  int64_t last(int64_t tasks) const { return tasks * (part + 1) / parts; }
  // How many slices to cut each of `count` tasks into, at most `most`, so that every thread gets some.
  int64_t slices(int64_t count, int64_t most) const {
    if (parts == 1 || count >= 4 * parts) return 1;
    const int64_t wanted = (2 * parts + count - 1) / count;
    return wanted < most ? wanted : most;
  }
  void wait() const {
    if (parts > 1) {
#pragma omp barrier
    }
  }
};

// LayerNorm over the last dimension (Ba et al. 2016): mean first, then the variance around it.
inline void layer_norm(const float* x, const float* weight, const float* bias, float eps, int64_t columns, float* out) {
  VF total{};
  for (int64_t c = 0; c < columns; c += kWidth) total += load_n<true>(x + c, columns - c);
  const float mean = sum_lanes<float>(total) / static_cast<float>(columns);
  VF squares{};
  for (int64_t c = 0; c < columns; c += kWidth) {
    VF d = load_n<true>(x + c, columns - c) - mean;
    if (columns - c < kWidth)
      for (int i = 0; i < kWidth; i++) d[i] = i < columns - c ? d[i] : 0.0f;
    squares += d * d;
  }
  const float scale = 1.0f / __builtin_sqrtf(sum_lanes<float>(squares) / static_cast<float>(columns) + eps);
  for (int64_t c = 0; c < columns; c += kWidth) {
    const VF d = (load_n<true>(x + c, columns - c) - mean) * scale;
    store_n<true>(out + c, d * load_n<true>(weight + c, columns - c) + load_n<true>(bias + c, columns - c),
                  columns - c);
  }
}

// RMSNorm where there is no bias.
inline void norm_stage(const Team& team, int64_t rows, int64_t columns, const float* x, const float* weight,
                       const float* bias, float eps, float* out) {
  for (int64_t r = team.first(rows); r < team.last(rows); r++) {
    if (bias) layer_norm(x + r * columns, weight, bias, eps, columns, out + r * columns);
    else rms_norm<float>(x + r * columns, weight, eps, columns, out + r * columns);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
