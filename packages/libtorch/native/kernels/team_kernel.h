// What the fused inference kernels share: the threads that work on one block, and its normalisation.
// `part` of `parts` threads work on the same rows; with parts == 1 a thread works on samples of its own.
// Included by isa_*.cc after layer_norm_kernel.h.
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

// RMSNorm where there is no bias.
inline void norm_stage(const Team& team, int64_t rows, int64_t columns, const float* x, const float* weight,
                       const float* bias, float eps, float* out) {
  for (int64_t r = team.first(rows); r < team.last(rows); r++) {
    if (bias) layer_norm<false>(x + r * columns, weight, bias, eps, columns, out + r * columns);
    else rms_norm<float>(x + r * columns, weight, eps, columns, out + r * columns);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
