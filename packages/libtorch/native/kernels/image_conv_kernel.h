// Convolutions over images with bias, shortcut and ReLU inside, and blocks of them, forward only, channels last.
// Included by isa_*.cc after winograd_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// The pixels under the kernel at output pixel `index`, row after row; neighbours in a row lie together in memory.
inline void gather_pixel(const ImageConv& c, const float* image, int64_t index, float* to) {
  const int64_t across = c.out_width(), per_image = c.out_pixels(), pad = c.kernel / 2;
  const int64_t y = index % per_image / across * c.stride - pad, x = index % across * c.stride - pad;
  const float* pixels = image + index / per_image * c.height * c.width * c.in;
  const int64_t first = x < 0 ? -x : 0, last = x + c.kernel > c.width ? c.width - x : c.kernel, row = c.kernel * c.in;
  for (int64_t i = 0; i < c.kernel; i++, to += row) {
    const bool inside = y + i >= 0 && y + i < c.height && first < last;
    const float* from = pixels + ((y + i) * c.width + x) * c.in;
    for (int64_t k = 0; k < (inside ? first * c.in : row); k++) to[k] = 0.0f;
    if (!inside) continue;
    int64_t k = first * c.in;
    for (; k + kWidth <= last * c.in; k += kWidth) store<float>(to + k, load(from + k));
    for (; k < last * c.in; k++) to[k] = from[k];
    for (; k < row; k++) to[k] = 0.0f;
  }
}

inline void gather_conv(const ImageConv& c, const Team& team, int64_t batch, const float* x, float* y,
                        const float* residual, bool relu, const ConvScratch& layout, float* scratch) {
  const int64_t all = batch * c.out_pixels(), depth = c.depth();
  for (int64_t first = 0; first < all; first += layout.rows) {
    const int64_t rows = all - first < layout.rows ? all - first : layout.rows;
    const float* input = x + first * c.in;
    if (!c.direct()) {
      for (int64_t r = team.first(rows); r < team.last(rows); r++)
        gather_pixel(c, x, first + r, scratch + layout.inputs + r * depth);
      team.wait();
      input = scratch + layout.inputs;
    }
    packed_stage(team, {input, depth, rows, depth, c.weight, depth * kPanel, c.out, y + first * c.out, c.out, c.bias,
                        residual ? residual + first * c.out : nullptr, relu ? Activation::relu : Activation::none});
    team.wait();
  }
}

template <int E> void winograd_conv(const ImageConv& c, const Team& team, int64_t batch, const float* x, float* y,
                                    const float* residual, bool relu, const ConvScratch& layout, float* scratch) {
  const int64_t all = batch * c.tiles(), positions = c.positions();
  const int64_t in_stride = layout.in_stride, out_stride = layout.out_stride;
  const int64_t panels = panels_of(c.out), panel_stride = c.in * kPanel;
  // In full registers, as the results are stored: what lies beyond the last channel is zero.
  const int64_t columns = (c.out + kWidth - 1) / kWidth * kWidth;
  for (int64_t first = 0; first < all; first += layout.rows) {
    const int64_t rows = all - first < layout.rows ? all - first : layout.rows;
    const auto input = c.in % kWidth ? winograd_input<E, true> : winograd_input<E, false>;
    for (int64_t r = team.first(rows); r < team.last(rows); r++)
      input(c, x, first + r, scratch + layout.inputs + r * layout.row_in, in_stride);
    team.wait();
    for (int64_t task = team.first(positions * panels); task < team.last(positions * panels); task++) {
      const int64_t position = task / panels;
      packed_task({scratch + layout.inputs + position * in_stride, layout.row_in, rows, c.in,
                   c.weight + position * panels * panel_stride, panel_stride, columns,
                   scratch + layout.results + position * out_stride, layout.row_out},
                  task % panels, 1);
    }
    team.wait();
    const auto output = c.out % kWidth ? winograd_output<E, true> : winograd_output<E, false>;
    for (int64_t r = team.first(rows); r < team.last(rows); r++)
      output(c, scratch + layout.results + r * layout.row_out, out_stride, first + r, residual, relu, y);
    team.wait();
  }
}

inline void image_conv(const ImageConv& c, const Team& team, int64_t batch, const float* x, float* y,
                       const float* residual, bool relu, float* scratch) {
  const ConvScratch layout(c, batch);
  if (c.form == ConvForm::winograd4) winograd_conv<4>(c, team, batch, x, y, residual, relu, layout, scratch);
  else if (c.form == ConvForm::winograd2) winograd_conv<2>(c, team, batch, x, y, residual, relu, layout, scratch);
  else gather_conv(c, team, batch, x, y, residual, relu, layout, scratch);
}

inline void conv_block_forward(const ConvBlock& b, int64_t part, int64_t parts, float* scratch) {
  const Team team{part, parts};
  const ConvBlockScratch layout(b, b.batch);
  const float* residual = b.identity ? b.x : nullptr;
  if (b.projected) {
    float* shortcut = scratch + layout.shortcut;
    image_conv(b.shortcut, team, b.batch, b.x, shortcut, nullptr, false, scratch + layout.convolution);
    residual = shortcut;
  }
  const float* x = b.x;
  for (int64_t i = 0; i < b.count; i++) {
    const bool last = i + 1 == b.count;
    float* y = last ? b.y : scratch + layout.between[i];
    image_conv(b.convs[i], team, b.batch, x, y, last ? residual : nullptr, true, scratch + layout.convolution);
    x = y;
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
