// Winograd's transforms for 3x3 convolutions at stride 1, channels last: F(2x2, 3x3) and F(4x4, 3x3) of Lavin and Gray
// 2016 (arXiv 1509.09308), section 4.1, with the interpolation points 0, 1, -1 (and 2, -2) and infinity. The transform
// of the weights is in convolution-weights.ts. A register holds neighbouring channels of one pixel. Included by
// isa_*.cc after packed_gemm_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// One dimension of the transforms: E + 2 inputs from E + 2, E outputs from E + 2.
template <int E> struct Winograd;
template <> struct Winograd<2> {
  static MP_INLINE void input(const VF* d, VF* v) {
    v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3];
  }
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

// to[position] of square `index`: the transformed pixels of the square and its border. Tail: the last register of
// channels is not full.
template <int E, bool Tail>
void winograd_input(const ImageConv& c, const float* image, int64_t index, float* to, int64_t position_stride) {
  constexpr int N = E + 2;
  const Square square(c, index, E);
  // Of its N x N pixels, those from (top, left) to before (bottom, right) are in the image.
  const int64_t y = square.y - 1, x = square.x - 1;
  const int64_t top = y < 0, bottom = c.height - y < N ? c.height - y : N, left = x < 0,
                right = c.width - x < N ? c.width - x : N;
  const float* pixels = image + ((square.sample * c.height + y) * c.width + x) * c.in;
  for (int64_t channel = 0; channel < c.in; channel += kWidth) {
    VF rows[N][N], d[N], v[N];
    for (int64_t i = 0; i < N; i++) {
      const float* row = pixels + i * c.width * c.in + channel;
      const bool inside = i >= top && i < bottom;
#pragma GCC unroll 6
      for (int64_t j = 0; j < N; j++)
        d[j] = inside && j >= left && j < right ? load_n<Tail>(row + j * c.in, c.in - channel) : VF{};
      Winograd<E>::input(d, rows[i]);
    }
#pragma GCC unroll 6
    for (int64_t j = 0; j < N; j++) {
#pragma GCC unroll 6
      for (int64_t i = 0; i < N; i++) d[i] = rows[i][j];
      Winograd<E>::input(d, v);
#pragma GCC unroll 6
      for (int64_t i = 0; i < N; i++) store<float>(to + (i * N + j) * position_stride + channel, v[i]);
    }
  }
}

// The pixels of square `index` from the products at all positions, with bias, shortcut and ReLU.
template <int E, bool Tail> void winograd_output(const ImageConv& c, const float* from, int64_t position_stride,
                                                 int64_t index, const float* residual, bool relu, float* image) {
  constexpr int N = E + 2;
  const Square square(c, index, E);
  const int64_t bottom = c.height - square.y < E ? c.height - square.y : E,
                right = c.width - square.x < E ? c.width - square.x : E;
  const int64_t first = ((square.sample * c.height + square.y) * c.width + square.x) * c.out;
  for (int64_t channel = 0; channel < c.out; channel += kWidth) {
    const int64_t left = c.out - channel;
    const VF bias = load_n<Tail>(c.bias + channel, left);
    VF columns[N][E], m[N], y[E];
    for (int64_t i = 0; i < N; i++) {
#pragma GCC unroll 6
      for (int64_t j = 0; j < N; j++) m[j] = load(from + (i * N + j) * position_stride + channel);
      Winograd<E>::output(m, columns[i]);
    }
    for (int64_t j = 0; j < right; j++) {
#pragma GCC unroll 6
      for (int64_t i = 0; i < N; i++) m[i] = columns[i][j];
      Winograd<E>::output(m, y);
      const int64_t place = first + j * c.out + channel;
#pragma GCC unroll 4
      for (int64_t i = 0; i < E; i++) {
        if (i >= bottom) break;
        const int64_t at = place + i * c.width * c.out;
        VF value = y[i] + bias;
        if (residual) value += load_n<Tail>(residual + at, left);
        if (relu) value = max(VF{}, value);
        store_n<Tail>(image + at, value, left);
      }
    }
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
