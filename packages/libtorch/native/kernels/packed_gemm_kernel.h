// out = x W^T for weights that were packed once: at batch 1 transposing a panel at every call, as gemm_kernel.h does,
// takes a tenth of the time. The weights of a panel lie in the order in which they are used, so the processor fetches
// them by itself, and the whole depth of a panel is summed in registers.
// Included by isa_*.cc after gemm_kernel.h and team_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// What is done to sums before they are stored: rows [row, row + count) of `halves` registers each.
inline void finish_rows(const PackedProduct& g, const float* sums, int64_t count, int halves, int64_t row,
                        int64_t column) {
  for (int64_t m = 0; m < count; m++)
    for (int h = 0; h < halves; h++, sums += kWidth) {
      const int64_t at = column + h * kWidth, left = g.columns - at, place = (row + m) * g.out_stride + at;
      VF value = load(sums);
      if (g.bias) value += load_n<true>(g.bias + at, left);
      if (g.residual) value += load_n<true>(g.residual + place, left);
      // In this order NaN stays NaN.
      if (g.activation == Activation::relu) value = max(VF{}, value);
      if (g.activation == Activation::gelu) value = gelu<float>(value);
      store_n<true>(g.out + place, value, left);
    }
}

// Steps of the depth between two requests for what comes after this panel.
constexpr int64_t kStep = 4;

// sum += a b. Written out where GCC, given several steps of the loop below, would move sums from register to register
// and run out of them.
MP_INLINE void multiply_add(VF& sum, VF a, VF b) {
#if defined(__x86_64__) && MP_BYTES > 16
  asm volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
  sum += a * b;
#endif
}

// sum[m][h] += x[m] weight[h]
template <int M, int H>
MP_INLINE void packed_step(VF (&sum)[M][H], const float* x, int64_t x_stride, const float* panel) {
  VF weight[H];
#pragma GCC unroll 2
  for (int h = 0; h < H; h++) weight[h] = load(panel + h * kWidth);
#pragma GCC unroll 16
  for (int m = 0; m < M; m++) {
    const VF value = splat<float>(x[m * x_stride]);
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) multiply_add(sum[m][h], value, weight[h]);
  }
}

// M rows times a panel, of which the first H registers' worth of columns are in use. Every kStep steps down the panel
// the next `advance` floats from `ahead` to `past` are asked for.
template <int M, int H> void packed_rows(const PackedProduct& g, const float* panel, int64_t row, int64_t column,
                                         const float* ahead, const float* past, int64_t advance) {
  const int64_t stride = g.x_stride, depth = g.depth;
  const float* x = g.x + row * stride;
  VF sum[M][H];
#pragma GCC unroll 16
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) sum[m][h] = VF{};
  int64_t k = 0;
  // Other numbers of rows come once in a panel: not worth the time that it takes to compile them unrolled.
  if constexpr (M == kGemmRows) {
    for (; k + kStep <= depth; k += kStep) {
      if (ahead < past) {
        for (int64_t line = 0; line < advance; line += 16) __builtin_prefetch(ahead + line, 0, 2);
        ahead += advance;
      }
#pragma GCC unroll 4
      for (int64_t i = 0; i < kStep; i++) packed_step<M, H>(sum, x + k + i, stride, panel + (k + i) * kPanel);
    }
  }
  for (; k < depth; k++) packed_step<M, H>(sum, x + k, stride, panel + k * kPanel);
  const bool whole = column + H * kWidth <= g.columns && g.activation == Activation::none;
  if (whole && !g.bias && !g.residual) {
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
      for (int h = 0; h < H; h++) store<float>(g.out + (row + m) * g.out_stride + column + h * kWidth, sum[m][h]);
    return;
  }
  if (whole && !g.bias) {
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
      for (int h = 0; h < H; h++) {
        const int64_t place = (row + m) * g.out_stride + column + h * kWidth;
        store<float>(g.out + place, sum[m][h] + load(g.residual + place));
      }
    return;
  }
  float sums[M * H * kWidth];
#pragma GCC unroll 16
  for (int m = 0; m < M; m++)
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) store<float>(sums + (m * H + h) * kWidth, sum[m][h]);
  finish_rows(g, sums, M, H, row, column);
}

// The rows that are left when no kGemmRows are.
template <int M, int H>
inline void packed_rest(int64_t rows, const PackedProduct& g, const float* panel, int64_t row, int64_t column) {
  if (rows == M) return packed_rows<M, H>(g, panel, row, column, nullptr, nullptr, 0);
  if constexpr (M > 1) packed_rest<M - 1, H>(rows, g, panel, row, column);
}

// Rows of a tile below which its sums are so few that each waits for the one before it.
constexpr int64_t kFewRows = 4;

// Weights come from far away, every one once: the rows share in asking for what lies behind this part of the panel.
template <int H> inline void packed_part(const PackedProduct& g, const float* panel, int64_t column, int64_t begin,
                                         int64_t end, bool more) {
  const int64_t tiles = (end - begin) / kGemmRows,
                advance = kPanel * (tiles > 0 && tiles < kStep ? (kStep + tiles - 1) / tiles : 1);
  const int64_t share = more && tiles > 0 ? (g.depth + tiles - 1) / tiles * kPanel : 0;
  const float* next = panel + g.depth * kPanel;
  const int64_t rest = (end - begin) % kGemmRows;
  // A few rows that are left over share with a whole tile.
  const int64_t past = tiles > 0 && rest > 0 && rest < kFewRows ? end - rest - kGemmRows : end - rest;
  int64_t row = begin;
  for (; row < past; row += kGemmRows, next += share)
    packed_rows<kGemmRows, H>(g, panel, row, column, next, next + share, advance);
  const int64_t half = end - row > kGemmRows ? (end - row) / 2 : 0;
  if (half > 0) packed_rest<kGemmRows - 1, H>(half, g, panel, row, column);
  row += half;
  if (row < end) packed_rest<kGemmRows - 1, H>(end - row, g, panel, row, column);
}

template <int H> inline void packed_panel(const PackedProduct& g, int64_t index, int64_t begin, int64_t end) {
  const float* panel = g.weight + index * g.panel_stride;
  const int64_t column = index * kPanel;
  const bool last = column + kPanel >= g.columns;
  if (g.depth <= g.part_depth) return packed_part<H>(g, panel, column, begin, end, !last);
  PackedProduct part = g;
  for (int64_t k = 0; k < g.depth; k += part.depth) {
    const bool more = g.depth - k > g.part_depth;
    part.x = g.x + k, part.depth = more ? g.part_depth : g.depth - k;
    part.activation = more ? Activation::none : g.activation;
    packed_part<H>(part, panel + k * kPanel, column, begin, end, more || !last);
    part.bias = nullptr, part.residual = g.out;
  }
}

inline int64_t panels_of(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

// Task `task` of panels * slices: one panel for one slice of the rows.
inline void packed_task(const PackedProduct& g, int64_t task, int64_t slices) {
  const int64_t index = task / slices, slice = task % slices;
  const int64_t tiles = (g.rows + kGemmRows - 1) / kGemmRows;
  const int64_t begin = tiles * slice / slices * kGemmRows, past = tiles * (slice + 1) / slices * kGemmRows;
  const int64_t end = past < g.rows ? past : g.rows;
  if (g.columns - index * kPanel > kWidth) packed_panel<2>(g, index, begin, end);
  else packed_panel<1>(g, index, begin, end);
}

// Panels are shared out; where there are few, the rows are too.
inline void packed_stage(const Team& team, const PackedProduct& g) {
  const int64_t panels = panels_of(g.columns), slices = team.slices(panels, (g.rows + kGemmRows - 1) / kGemmRows);
  for (int64_t task = team.first(panels * slices); task < team.last(panels * slices); task++)
    packed_task(g, task, slices);
}

inline void packed_product(const PackedProduct& g) { packed_stage({0, 1}, g); }

inline int64_t panel_stride(int64_t depth) { return (depth + kWidth - 1) / kWidth * kWidth * kPanel; }

// Panels [begin, end).
inline void pack_panels(const PanelPacking& p, int64_t begin, int64_t end) {
  for (int64_t index = begin; index < end; index++) {
    const int64_t column = index * kPanel, left = p.columns - column;
    pack_panel(p.out + index * panel_stride(p.depth), p.weight + column * p.depth, p.depth,
               left < kPanel ? left : kPanel, p.depth);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
