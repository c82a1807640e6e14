// The products of a training step: many rows, and weights that change with every step. out = x W^T and out = x W read
// weights that were packed into panels for this one call (packed_gemm_kernel.h); a weight's gradient, the sum over all
// rows of outer products, is here. Included by isa_*.cc after packed_gemm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// Panels [begin, end) of W as the factor of x W: W [depth, columns] lies in rows already.
inline void pack_row_panels(const PanelPacking& p, int64_t begin, int64_t end) {
  for (int64_t index = begin; index < end; index++) {
    const int64_t column = index * kPanel, left = p.columns - column;
    float* to = p.out + index * panel_stride(p.depth);
    for (int64_t k = 0; k < p.depth; k++)
      for (int64_t half = 0; half < kPanel; half += kWidth)
        store<float>(to + k * kPanel + half, load_n<true>(p.weight + k * p.columns + column + half, left - half));
  }
}

// Rows that are summed at a time: their part of b stays in the second-level cache while the tiles pass over it.
constexpr int64_t kOuterDepth = 256;
// Tiles of a that are packed at a time where b is packed too.
constexpr int64_t kOuterTiles = 16;
constexpr int64_t kOuterScratch = kOuterDepth * (kOuterTiles * kGemmRows + kPanel) + 2 * kWidth;

// out[rows, H registers] (+)= sum over k of a[k]^T b[k], with a packed as [depth, kGemmRows]. Rows of b are b_stride
// apart.
template <int H, bool Tail> void outer_tile(const OuterProduct& g, const float* a, const float* b, int64_t b_stride,
                                            int64_t depth, bool first, float* out, int64_t rows, int64_t left) {
  VF sum[kGemmRows][H];
#pragma GCC unroll 16
  for (int m = 0; m < kGemmRows; m++)
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) sum[m][h] = VF{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; k++) {
    VF row[H];
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) row[h] = load_n<Tail>(b + k * b_stride + h * kWidth, left - h * kWidth);
#pragma GCC unroll 16
    for (int m = 0; m < kGemmRows; m++) {
      const VF value = splat<float>(a[k * kGemmRows + m]);
#pragma GCC unroll 2
      for (int h = 0; h < H; h++) multiply_add(sum[m][h], value, row[h]);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < kGemmRows; m++) {
    if (m >= rows) break;
#pragma GCC unroll 2
    for (int h = 0; h < H; h++) {
      float* to = out + m * g.out_stride + h * kWidth;
      VF value = sum[m][h];
      if (!first) value += load_n<Tail>(to, left - h * kWidth);
      store_n<Tail>(to, value, left - h * kWidth);
    }
  }
}

// Rows [k0, k0 + depth) of a tile of a.
inline void pack_outer_tile(const OuterProduct& g, int64_t tile, int64_t k0, int64_t depth, float* to) {
  const int64_t m0 = tile * kGemmRows, rows = g.rows - m0 < kGemmRows ? g.rows - m0 : kGemmRows;
  // Whole registers: what is written beyond a row is written again with the next.
  for (int64_t k = 0; k < depth; k++)
    for (int64_t m = 0; m < kGemmRows; m += kWidth)
      store<float>(to + k * kGemmRows + m,
                   load_n<true>(g.a + (k0 + k) * g.a_stride + m0 + m, (rows < kGemmRows ? rows : g.rows - m0) - m));
}

// Some tiles from `tile` on, b read where it lies.
inline void outer_in_place(const OuterProduct& g, int64_t tile, int64_t tiles, int64_t k0, int64_t depth,
                           float* scratch) {
  const float* b = g.b + k0 * g.b_stride;
  const int64_t stride = g.b_stride;
  for (const int64_t past = tile + tiles; tile < past; tile++) {
    const int64_t m0 = tile * kGemmRows, rows = g.rows - m0 < kGemmRows ? g.rows - m0 : kGemmRows;
    pack_outer_tile(g, tile, k0, depth, scratch);
    float* out = g.out + m0 * g.out_stride;
    int64_t c = 0;
    for (; c + kPanel <= g.columns; c += kPanel)
      outer_tile<2, false>(g, scratch, b + c, stride, depth, k0 == 0, out + c, rows, kPanel);
    const int64_t left = g.columns - c;
    if (left > kWidth) outer_tile<2, true>(g, scratch, b + c, stride, depth, k0 == 0, out + c, rows, left);
    else if (left > 0) outer_tile<1, true>(g, scratch, b + c, stride, depth, k0 == 0, out + c, rows, left);
  }
}

// The same with a panel of b at a time packed in front of all tiles, while lines of the next one are asked for: 32 KB
// with AVX-512, which stay in the first-level cache.
inline void outer_packed(const OuterProduct& g, int64_t tile, int64_t tiles, int64_t k0, int64_t depth,
                         float* scratch) {
  float *panel = scratch, *packed = panel + kOuterDepth * kPanel;
  for (int64_t i = 0; i < tiles; i++) pack_outer_tile(g, tile + i, k0, depth, packed + i * kOuterDepth * kGemmRows);
  for (int64_t c = 0; c < g.columns; c += kPanel) {
    const int64_t left = g.columns - c, stride = g.b_stride;
    const float* from = g.b + k0 * stride + c;
    for (int64_t k = 0; k < depth; k++)
      for (int64_t half = 0; half < kPanel; half += kWidth)
        store<float>(panel + k * kPanel + half, load_n<true>(from + k * stride + half, left - half));
    int64_t asked = left > kPanel ? 0 : depth;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t m0 = (tile + i) * kGemmRows, rows = g.rows - m0 < kGemmRows ? g.rows - m0 : kGemmRows;
      for (const int64_t past = depth * (i + 1) / tiles; asked < past; asked++)
        for (int64_t line = 0; line < kPanel; line += 16)
          __builtin_prefetch(from + asked * stride + kPanel + line, 0, 2);
      const float* a = packed + i * kOuterDepth * kGemmRows;
      float* out = g.out + m0 * g.out_stride + c;
      if (left >= kPanel) outer_tile<2, false>(g, a, panel, kPanel, depth, k0 == 0, out, rows, kPanel);
      else if (left > kWidth) outer_tile<2, true>(g, a, panel, kPanel, depth, k0 == 0, out, rows, left);
      else outer_tile<1, true>(g, a, panel, kPanel, depth, k0 == 0, out, rows, left);
    }
  }
}

// Tiles [begin, end) of kGemmRows rows of the result. The order of every sum follows from the shapes alone, and is the
// same whether b is packed. `scratch` holds kOuterScratch.
inline void outer_product(const OuterProduct& g, int64_t begin, int64_t end, float* scratch) {
  for (int64_t k0 = 0; k0 < g.depth; k0 += kOuterDepth) {
    const int64_t depth = g.depth - k0 < kOuterDepth ? g.depth - k0 : kOuterDepth;
    for (int64_t tile = begin; tile < end; tile += kOuterTiles) {
      const int64_t tiles = end - tile < kOuterTiles ? end - tile : kOuterTiles;
      if (g.pack_b) outer_packed(g, tile, tiles, k0, depth, scratch);
      else outer_in_place(g, tile, tiles, k0, depth, scratch);
    }
  }
}

// Slice `slice` of `slices` of the rows, all panels.
inline void packed_slice(const PackedProduct& g, int64_t slice, int64_t slices) {
  for (int64_t index = 0; index < panels_of(g.columns); index++) packed_task(g, index * slices + slice, slices);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
