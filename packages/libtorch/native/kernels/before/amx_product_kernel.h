// out = x W^T in the tiles of AMX: 32 rows by a panel of 32 columns at a time, whose sums stay in four tiles for the
// whole depth. Rows that fit into half of the first-level cache meet every panel before the next rows do: a tile that
// comes from the second level takes longer than a product. Rows of activations and the panels of weights lie in
// memory as the tiles want them (low_precision_args.h). While the tiles multiply, the other units finish the sums of
// the rows before. Included by isa_amx_*.cc after low_finish.h, with MP_TILE_DOT(sums, activations, weights).
namespace mamba_prune {
namespace MP_ISA {

constexpr int kTileRows = 16, kAmxRows = 2 * kTileRows;
// Bytes of rows that stay in the first-level cache, and from a weight to those that are asked for when it is read.
constexpr int64_t kNearBytes = 24 << 10, kAhead = 8 << 10;
static_assert(kLowPanel == 32, "two tiles of weights");
static_assert(kLowRowGroup % kAmxRows == 0, "whole tiles are read");

// Intel's 64 bytes of LDTILECFG.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights; all of 16 rows of 64 bytes.
inline void configure_tiles() {
  TileConfig c;
  for (int i = 0; i < 8; i++) c.rows[i] = kTileRows, c.row_bytes[i] = 64;
  // GCC's intrinsic tells the compiler of the first 8 bytes alone.
  asm volatile("" : : "r"(&c) : "memory");
  _tile_loadconfig(&c);
}

// Sums that the tiles have left in memory, on their way to where they are stored.
struct Unfinished {
  const LowProduct& g;
  const LowRows& rows;
  PanelFinish panel;
  const Sum* sums = nullptr;
  int64_t row = 0, left = 0;
  Unfinished(const LowProduct& g, const LowRows& rows, int64_t column) : g(g), rows(rows), panel(g, column) {}

  // Only when the last sums are done.
  MP_INLINE void take(const Sum* from, int64_t first, int64_t count, int64_t column) {
    if (column != panel.halves[0].column) panel = PanelFinish(g, column);
    sums = from, row = first, left = count;
  }
  MP_INLINE void work(int64_t most) {
    const int64_t count = most < left ? most : left;
    if (count == 0) return;
    finish_sums(g, rows, panel, sums, row, count);
    sums += count * kHalves, row += count, left -= count;
  }
};

// Sums of 32 rows, or with Both = false of 16, to rows `out_stride` bytes apart. Ask: what comes next of the weights,
// in the order in which they lie, is asked for.
template <bool Both, bool Ask> MP_INLINE void amx_rows(const uint8_t* x, int64_t stride, const uint8_t* panel,
                                                       uint8_t* out, int64_t out_stride, Unfinished& before) {
  const int64_t share = (kAmxRows * kDepthBytes + stride - 1) / stride;
  _tile_zero(0);
  _tile_zero(1);
  if (Both) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t k = 0; k < stride; k += kDepthBytes) {
    _tile_loadd(4, x + k, stride);
    _tile_loadd(6, panel + k * kLowPanel, kLowPanel * kLaneBytes);
    _tile_loadd(7, panel + k * kLowPanel + 64, kLowPanel * kLaneBytes);
    if (Both) _tile_loadd(5, x + kTileRows * stride + k, stride);
    if (Ask)
      for (int64_t line = 0; line < kDepthBytes * kLowPanel; line += 64)
        __builtin_prefetch(panel + k * kLowPanel + kAhead + line);
    MP_TILE_DOT(0, 4, 6);
    MP_TILE_DOT(1, 4, 7);
    if (Both) {
      MP_TILE_DOT(2, 5, 6);
      MP_TILE_DOT(3, 5, 7);
    }
    before.work(share);
  }
  _tile_stored(0, out, out_stride);
  _tile_stored(1, out + 64, out_stride);
  if (Both) {
    _tile_stored(2, out + kTileRows * out_stride, out_stride);
    _tile_stored(3, out + kTileRows * out_stride + 64, out_stride);
  }
}

template <bool Ask> MP_INLINE void amx_rows(int64_t count, const uint8_t* x, int64_t stride, const uint8_t* panel,
                                            uint8_t* out, int64_t out_stride, Unfinished& before) {
  if (count > kTileRows) amx_rows<true, Ask>(x, stride, panel, out, out_stride, before);
  else amx_rows<false, Ask>(x, stride, panel, out, out_stride, before);
}

// The tiles are released at the end: a thread that keeps them has more to save when it is interrupted.
inline void amx_multiply(const LowProduct& g, const LowRows& rows, int64_t first, int64_t last, int64_t begin,
                         int64_t end) {
  if (begin >= end || first >= last) return;
  const int64_t stride = depth_bytes(kPrecision, g.weight.depth);
  Sum sums[2][kAmxRows * kHalves];
  int which = 0;
  Unfinished before(g, rows, first * kLowPanel);
  configure_tiles();
  const int64_t near = kNearBytes / stride / kAmxRows, group = (near > 1 ? near : 1) * kAmxRows;
  for (int64_t top = begin; top < end; top += group)
    for (int64_t index = first; index < last; index++) {
      const uint8_t* panel = g.weight.panels + index * kLowPanel * stride;
      const int64_t past = top + group < end ? top + group : end;
      for (int64_t row = top; row < past; row += kAmxRows, which ^= 1) {
        const uint8_t* x = rows.values + row * stride;
        const int64_t count = past - row < kAmxRows ? past - row : kAmxRows;
        const bool straight = kPrecision == LowPrecision::bf16 && g.roomy;
        uint8_t* out = reinterpret_cast<uint8_t*>(straight ? g.out + row * g.out_stride + index * kLowPanel
                                                           : reinterpret_cast<float*>(sums[which]));
        const int64_t out_stride = 4 * (straight ? g.out_stride : kLowPanel);
        if (row == top) amx_rows<true>(count, x, stride, panel, out, out_stride, before);
        else amx_rows<false>(count, x, stride, panel, out, out_stride, before);
        if (!straight) before.take(sums[which], row, count, index * kLowPanel);
      }
    }
  before.work(kAmxRows);
  _tile_release();
}

}  // namespace MP_ISA
}  // namespace mamba_prune
