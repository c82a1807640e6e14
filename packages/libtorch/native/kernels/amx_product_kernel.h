// out = x W^T in the tiles of AMX: 32 rows by a panel of 32 columns at a time, whose sums stay in four tiles for the
// whole depth. Rows of activations and the panels of weights lie in memory as the tiles want them
// (low_precision_args.h). Included by isa_amx_*.cc after low_finish.h, with MP_TILE_DOT(sums, activations, weights).
namespace mamba_prune {
namespace MP_ISA {

constexpr int kTileRows = 16, kAmxRows = 2 * kTileRows;
static_assert(kLowPanel == 32, "two tiles of weights");

// Intel's 64 bytes of LDTILECFG.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Tiles 0 to 3 are sums, 4 and 5 activations of `first` and `second` rows, 6 and 7 weights.
inline void configure(int64_t first, int64_t second) {
  TileConfig c;
  const uint8_t rows[8] = {static_cast<uint8_t>(first),
                           static_cast<uint8_t>(first),
                           static_cast<uint8_t>(second),
                           static_cast<uint8_t>(second),
                           static_cast<uint8_t>(first),
                           static_cast<uint8_t>(second),
                           kTileRows,
                           kTileRows};
  for (int i = 0; i < 8; i++) c.rows[i] = rows[i], c.row_bytes[i] = 64;
  _tile_loadconfig(&c);
}

inline void finish_tiles(const LowProduct& g, const LowRows& rows, const int32_t* sums, int64_t row, int64_t count,
                         int64_t column) {
  for (int64_t h = 0; h < 2 && column + 16 * h < g.weight.columns; h++) {
    const Finish finish(g, column + 16 * h);
    for (int64_t m = 0; m < count; m++) {
      Sum sum;
      __builtin_memcpy(&sum, sums + m * kLowPanel + 16 * h, sizeof sum);
      finish.store_row(g, rows, sum, row + m);
    }
  }
}

// Both halves of the rows.
inline void amx_rows(const uint8_t* x, int64_t stride, const uint8_t* panel, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < stride; k += kDepthBytes) {
    _tile_loadd(4, x + k, stride);
    _tile_loadd(6, panel + k * kLowPanel, kLowPanel * kLaneBytes);
    _tile_loadd(7, panel + k * kLowPanel + 64, kLowPanel * kLaneBytes);
    _tile_loadd(5, x + kTileRows * stride + k, stride);
    MP_TILE_DOT(0, 4, 6);
    MP_TILE_DOT(1, 4, 7);
    MP_TILE_DOT(2, 5, 6);
    MP_TILE_DOT(3, 5, 7);
  }
  _tile_stored(0, sums, kLowPanel * 4);
  _tile_stored(1, sums + 16, kLowPanel * 4);
  _tile_stored(2, sums + kTileRows * kLowPanel, kLowPanel * 4);
  _tile_stored(3, sums + kTileRows * kLowPanel + 16, kLowPanel * 4);
}

// At most 16 rows.
inline void amx_few_rows(const uint8_t* x, int64_t stride, const uint8_t* panel, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  for (int64_t k = 0; k < stride; k += kDepthBytes) {
    _tile_loadd(4, x + k, stride);
    _tile_loadd(6, panel + k * kLowPanel, kLowPanel * kLaneBytes);
    _tile_loadd(7, panel + k * kLowPanel + 64, kLowPanel * kLaneBytes);
    MP_TILE_DOT(0, 4, 6);
    MP_TILE_DOT(1, 4, 7);
  }
  _tile_stored(0, sums, kLowPanel * 4);
  _tile_stored(1, sums + 16, kLowPanel * 4);
}

// The tiles are released at the end: a thread that keeps them has more to save when it is interrupted.
inline void amx_multiply(const LowProduct& g, const LowRows& rows, int64_t index, int64_t begin, int64_t end) {
  if (begin >= end) return;
  const int64_t stride = depth_bytes(kPrecision, g.weight.depth), column = index * kLowPanel;
  const uint8_t* panel = g.weight.panels + index * kLowPanel * stride;
  alignas(64) int32_t sums[kAmxRows * kLowPanel];
  int64_t row = begin;
  if (end - begin >= kAmxRows) configure(kTileRows, kTileRows);
  for (; row + kAmxRows <= end; row += kAmxRows) {
    amx_rows(rows.values + row * stride, stride, panel, sums);
    finish_tiles(g, rows, sums, row, kAmxRows, column);
  }
  const int64_t left = end - row;
  if (left > kTileRows) {
    configure(kTileRows, left - kTileRows);
    amx_rows(rows.values + row * stride, stride, panel, sums);
  } else if (left > 0) {
    configure(left, left);
    amx_few_rows(rows.values + row * stride, stride, panel, sums);
  }
  finish_tiles(g, rows, sums, row, left, column);
  _tile_release();
}

}  // namespace MP_ISA
}  // namespace mamba_prune
