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

// Rows that are summed at a time: a panel of b with so many of them stays in the first-level cache while the tiles pass
// over it.
constexpr int64_t kOuterDepth = 256;
// Tiles of a that are packed at a time. With b, part of which is read again for each of them, they fit into a
// second-level cache of 512 KB, and with AVX2 the C library gives them memory without asking the system each time.
constexpr int64_t kOuterTiles = 16;
// Floats from one packed tile to the next. One cache line more than it holds: rows of a are spread over all tiles, and
// tiles whole pages apart would share a few sets of the cache.
constexpr int64_t kOuterTile = kOuterDepth * kGemmRows + 16;
// Floats that packing reads and writes for a row of a tile: whole registers.
constexpr int64_t kStored = (kGemmRows + kWidth - 1) / kWidth * kWidth;
constexpr int64_t kOuterScratch = kOuterTiles * kOuterTile + kOuterDepth * kPanel + 2 * kWidth;

// out[rows, H registers] (+)= sum over k of a[k]^T b[k], with a packed as [depth, kGemmRows]. Rows of b are b_stride
// apart. Whole: b may be read beyond the last of the `left` columns.
template <int H, bool Whole> void outer_tile(const OuterProduct& g, const float* a, const float* b, int64_t b_stride,
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
    for (int h = 0; h < H; h++) row[h] = load_n<!Whole>(b + k * b_stride + h * kWidth, left - h * kWidth);
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
      if (!first) value += load_n<true>(to, left - h * kWidth);
      store_n<true>(to, value, left - h * kWidth);
    }
  }
}

// Rows [k0, k0 + depth) of some tiles of a, from `tile` on. Row by row, so that the processor foresees what is read.
inline void pack_outer_tiles(const OuterProduct& g, int64_t tile, int64_t tiles, int64_t k0, int64_t depth, float* to) {
  // A whole register may be read where this many columns are left, and what it writes beyond its tile's row is written
  // again with the next row.
  const int64_t m0 = tile * kGemmRows, left = g.rows - m0;
  const int64_t whole = left < kStored ? 0 : (left - kStored) / kGemmRows + 1, full = tiles < whole ? tiles : whole;
  for (int64_t k = 0; k < depth; k++) {
    const float* from = g.a + (k0 + k) * g.a_stride + m0;
    float* row = to + k * kGemmRows;
    int64_t i = 0;
    for (; i < full; i++)
      for (int64_t m = 0; m < kGemmRows; m += kWidth)
        store<float>(row + i * kOuterTile + m, load(from + i * kGemmRows + m));
    for (; i < tiles; i++)
      for (int64_t m = 0; m < kGemmRows; m += kWidth)
        store<float>(row + i * kOuterTile + m, load_n<true>(from + i * kGemmRows + m, left - i * kGemmRows - m));
  }
}

// A tile times `left` columns of b. A packed panel has zeros beyond the last one.
inline void outer_columns(const OuterProduct& g, const float* a, const float* b, int64_t b_stride, int64_t depth,
                          bool first, float* out, int64_t rows, int64_t left) {
  const bool whole = g.pack_b || left >= kPanel;
  if (whole && left > kWidth) outer_tile<2, true>(g, a, b, b_stride, depth, first, out, rows, left);
  else if (whole) outer_tile<1, true>(g, a, b, b_stride, depth, first, out, rows, left);
  else if (left > kWidth) outer_tile<2, false>(g, a, b, b_stride, depth, first, out, rows, left);
  else outer_tile<1, false>(g, a, b, b_stride, depth, first, out, rows, left);
}

// Some packed tiles times all of b. Where b is packed, lines of its next panel are asked for meanwhile.
inline void outer_tiles(const OuterProduct& g, const float* packed, int64_t tile, int64_t tiles, int64_t k0,
                        int64_t depth, float* panel) {
  const int64_t stride = g.b_stride;
  for (int64_t c = 0; c < g.columns; c += kPanel) {
    const int64_t left = g.columns - c;
    const float* from = g.b + k0 * stride + c;
    if (g.pack_b) {
      for (int64_t k = 0; k < depth; k++)
        for (int64_t half = 0; half < kPanel; half += kWidth)
          store<float>(panel + k * kPanel + half, load_n<true>(from + k * stride + half, left - half));
    }
    int64_t asked = g.pack_b && left > kPanel ? 0 : depth;
    for (int64_t i = 0; i < tiles; i++) {
      const int64_t m0 = (tile + i) * kGemmRows, rows = g.rows - m0 < kGemmRows ? g.rows - m0 : kGemmRows;
      float* out = g.out + m0 * g.out_stride + c;
      for (int64_t m = 0; m < rows; m++) __builtin_prefetch(out + m * g.out_stride, 1);
      for (const int64_t past = depth * (i + 1) / tiles; asked < past; asked++)
        for (int64_t line = 0; line < kPanel; line += 16)
          __builtin_prefetch(from + asked * stride + kPanel + line, 0, 2);
      const float* a = packed + i * kOuterTile;
      if (g.pack_b) outer_columns(g, a, panel, kPanel, depth, k0 == 0, out, rows, left);
      else outer_columns(g, a, from, stride, depth, k0 == 0, out, rows, left);
    }
  }
}

// Tiles [begin, end) of kGemmRows rows of the result. The order of every sum follows from the shapes alone, and is the
// same whether b is packed. `scratch` holds kOuterScratch.
inline void outer_product(const OuterProduct& g, int64_t begin, int64_t end, float* scratch) {
  float *panel = scratch, *packed = panel + kOuterDepth * kPanel;
  for (int64_t k0 = 0; k0 < g.depth; k0 += kOuterDepth) {
    const int64_t depth = g.depth - k0 < kOuterDepth ? g.depth - k0 : kOuterDepth;
    for (int64_t tile = begin; tile < end; tile += kOuterTiles) {
      const int64_t tiles = end - tile < kOuterTiles ? end - tile : kOuterTiles;
      pack_outer_tiles(g, tile, tiles, k0, depth, packed);
      outer_tiles(g, packed, tile, tiles, k0, depth, panel);
    }
  }
}

// Slice `slice` of `slices` of the rows, all panels.
inline void packed_slice(const PackedProduct& g, int64_t slice, int64_t slices) {
  for (int64_t index = 0; index < panels_of(g.columns); index++) packed_task(g, index * slices + slice, slices);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
