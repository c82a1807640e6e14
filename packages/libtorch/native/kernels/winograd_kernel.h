// Winograd's transforms for 3x3 convolutions at stride 1, channels last: F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray
// 2016 (arXiv 1509.09308), section 4.1, with the interpolation points 0, 1, -1 (and 2, -2) and infinity. The transform of the weights
// is in convolution-weights.ts. A register holds neighbouring channels of one pixel.
// Included by isa_*.cc after packed_gemm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// One dimension of the transforms: E + 2 inputs from E + 2, E outputs from E + 2.
template <int E> struct Winograd;
template <> struct Winograd<2> {
  static MP_INLINE void input(const VF* d, VF* v) { v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3]; }
  static MP_INLINE void output(const VF* m, VF* y) { y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] - m[3]; }
};
template <> struct Winograd<4> {
  static MP_INLINE void input(const VF* d, VF* v) {
    const VF even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1], near = d[4] - d[2], far = 2.0f * (d[3] - d[1]);
    v[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    v[1] = even + odd, v[2] = even - odd, v[3] = near + far, v[4] = near - far;
    v[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
  }
  static MP_INLINE void output(const VF* m, VF* y) {
    const VF a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
    y[0] = m[0] + a + c, y[1] = b + 2.0f * d, y[2] = a + 4.0f * c, y[3] = b + 8.0f * d + m[5];
  }
};

// Where a square lies in its image.
struct Square {
  int64_t sample, y, x;
  Square(const ImageConv& c, int64_t index, int64_t edge) {
    const int64_t across = (c.width + edge - 1) / edge, down = (c.height + edge - 1) / edge;
    sample = index / (across * down), y = index / across % down * edge, x = index % across * edge;
  }
};

// to[position] of square `index`: the transformed pixels of the square and its border.
template <int E> void winograd_input(const ImageConv& c, const float* image, int64_t index, float* to, int64_t position_stride) {
  constexpr int N = E + 2;
  const Square square(c, index, E);
  const float* pixels = image + square.sample * c.height * c.width * c.in;
  for (int64_t channel = 0; channel < c.in; channel += kWidth) {
    VF columns[N][N], d[N], v[N];
    for (int j = 0; j < N; j++) {
      const int64_t x = square.x + j - 1;
      for (int i = 0; i < N; i++) {
        const int64_t y = square.y + i - 1;
        const bool inside = x >= 0 && x < c.width && y >= 0 && y < c.height;
        d[i] = inside ? load_n<true>(pixels + (y * c.width + x) * c.in + channel, c.in - channel) : VF{};
      }
      Winograd<E>::input(d, v);
      for (int i = 0; i < N; i++) columns[i][j] = v[i];
    }
    for (int i = 0; i < N; i++) {
      Winograd<E>::input(columns[i], v);
      for (int j = 0; j < N; j++) store<float>(to + (i * N + j) * position_stride + channel, v[j]);
    }
  }
}

// The pixels of square `index` from the products at all positions, with bias, shortcut and ReLU.
template <int E>
void winograd_output(const ImageConv& c, const float* from, int64_t position_stride, int64_t index, const float* residual, bool relu,
                     float* image) {
  constexpr int N = E + 2;
  const Square square(c, index, E);
  const int64_t first = square.sample * c.height * c.width;
  for (int64_t channel = 0; channel < c.out; channel += kWidth) {
    const int64_t left = c.out - channel;
    const VF bias = load_n<true>(c.bias + channel, left);
    VF rows[E][N], m[N], y[E];
    for (int j = 0; j < N; j++) {
      for (int i = 0; i < N; i++) m[i] = load(from + (i * N + j) * position_stride + channel);
      Winograd<E>::output(m, y);
      for (int i = 0; i < E; i++) rows[i][j] = y[i];
    }
    for (int i = 0; i < E && square.y + i < c.height; i++) {
      Winograd<E>::output(rows[i], y);
      for (int j = 0; j < E && square.x + j < c.width; j++) {
        const int64_t place = (first + (square.y + i) * c.width + square.x + j) * c.out + channel;
        VF value = y[j] + bias;
        if (residual) value += load_n<true>(residual + place, left);
        if (relu) value = max(value, VF{});
        store_n<true>(image + place, value, left);
      }
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
