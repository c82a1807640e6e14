// Training batches out of a data set that lies in device memory: crop, flip, RandAugment, cutout, random erasing,
// mixup, cutmix, normalisation. One block makes one image.
//
// One source for both devices. NVRTC compiles it for CUDA, where no standard header exists; kernels/augment_cpu.cc
// includes it as C++, where a "block" is one thread. So the CPU's tests test what a GPU runs.
//
// The meaning of every option, the order of the random draws and the rounding are those of the loader on the CPU
// (packages/mamba-prune/src/data/augment); only the source of the random words differs: Philox, which needs no state.
// All that decides a byte is computed in double and without contracted products, so that both devices round alike.

#include "augment_interface.h"

#ifdef __CUDACC__
#define MP_FUNCTION static __device__
// What one thread does alone, or what is called twice: inlined, it would take the pixel loops' registers.
#define MP_APART static __device__ __noinline__
#else
#define MP_FUNCTION static inline
#define MP_APART static
#endif

namespace mamba_prune {
namespace augment {

// The threads that make one image together.
struct Team {
  int rank, size;
};

MP_FUNCTION void meet() {
#ifdef __CUDACC__
  __syncthreads();
#endif
}
MP_FUNCTION void add_to(u32* sum, u32 value) {
#ifdef __CUDACC__
  atomicAdd(sum, value);
#else
  *sum += value;
#endif
}
MP_FUNCTION void add_to(u64* sum, u64 value) {
#ifdef __CUDACC__
  atomicAdd(sum, value);
#else
  *sum += value;
#endif
}
MP_FUNCTION void lower_to(u32* least, u32 value) {
#ifdef __CUDACC__
  atomicMin(least, value);
#else
  if (value < *least) *least = value;
#endif
}
MP_FUNCTION void raise_to(u32* most, u32 value) {
#ifdef __CUDACC__
  atomicMax(most, value);
#else
  if (value > *most) *most = value;
#endif
}
// A product that is rounded before it is added to: a fused one would round otherwise than the CPU does.
MP_FUNCTION double product(double x, double y) {
#ifdef __CUDACC__
  return __dmul_rn(x, y);
#else
  return x * y;
#endif
}
MP_FUNCTION float product(float x, float y) {
#ifdef __CUDACC__
  return __fmul_rn(x, y);
#else
  return x * y;
#endif
}
MP_FUNCTION int smaller(int x, int y) { return x < y ? x : y; }
MP_FUNCTION int larger(int x, int y) { return x > y ? x : y; }
MP_FUNCTION double smaller(double x, double y) { return x < y ? x : y; }
MP_FUNCTION double larger(double x, double y) { return x > y ? x : y; }

// -- random numbers: Philox4x32-10 (Salmon et al. 2011), key: seed, counter: (block of four words, sample, epoch,
// stage)

// Numbers as in the loader's Stage.
enum Stage {
  kStageResizedCrop = 2,
  kStagePadCrop = 3,
  kStageFlip = 4,
  kStageRandAugment = 5,
  kStageCutout = 6,
  kStageMix = 7,
  kStageErasing = 11
};

struct Stream {
  u32 key0, key1, block, sample, epoch, stage, words[4];
  int left;
};

MP_FUNCTION Stream stream_of(u64 seed, u64 epoch, u64 sample, Stage stage) {
  Stream s;
  s.key0 = static_cast<u32>(seed), s.key1 = static_cast<u32>(seed >> 32);
  s.block = 0, s.sample = static_cast<u32>(sample), s.epoch = static_cast<u32>(epoch), s.stage = stage;
  s.left = 0;
  return s;
}

MP_APART u32 next_word(Stream& s) {
  if (s.left == 0) {
    u32 key0 = s.key0, key1 = s.key1, c0 = s.block++, c1 = s.sample, c2 = s.epoch, c3 = s.stage;
    for (int round = 0; round < 10; round++) {
      const u64 a = static_cast<u64>(0xD2511F53u) * c0, b = static_cast<u64>(0xCD9E8D57u) * c2;
      c0 = static_cast<u32>(b >> 32) ^ c1 ^ key0, c2 = static_cast<u32>(a >> 32) ^ c3 ^ key1;
      c1 = static_cast<u32>(b), c3 = static_cast<u32>(a);
      key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
    }
    s.words[0] = c0, s.words[1] = c1, s.words[2] = c2, s.words[3] = c3, s.left = 4;
  }
  return s.words[4 - s.left--];
}
MP_FUNCTION double uniform(Stream& s) { return next_word(s) / 4294967296.0; }
MP_FUNCTION double between(Stream& s, double low, double high) { return low + product(high - low, uniform(s)); }
// 0 .. n-1, without bias.
MP_FUNCTION u32 below(Stream& s, u64 n) {
  const u64 whole = 4294967296ull, limit = whole - whole % n;
  u32 word = next_word(s);
  while (word >= limit) word = next_word(s);
  return static_cast<u32>(word % n);
}
MP_FUNCTION double normal(Stream& s) {
  const double u = 1 - uniform(s);  // above 0: the logarithm stays finite
  const double radius = sqrt(-2 * log(u));
  return radius * cos(2 * 3.141592653589793 * uniform(s));
}
// Gamma of scale 1 (Marsaglia and Tsang 2000); shapes below one are drawn one higher and scaled back.
MP_APART double gamma_of(Stream& s, double shape) {
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / sqrt(9 * d);
  double result;
  for (;;) {
    const double x = normal(s), root = 1 + product(c, x), v = root * root * root;
    if (!(v > 0)) continue;
    if (log(1 - uniform(s)) < 0.5 * x * x + d * (1 - v + log(v))) {
      result = d * v;
      break;
    }
  }
  return shape < 1 ? result * pow(1 - uniform(s), 1 / shape) : result;
}
MP_APART double symmetric_beta(Stream& s, double alpha) {
  const double x = gamma_of(s, alpha), y = gamma_of(s, alpha);
  return x + y > 0 ? x / (x + y) : below(s, 2);
}

// -- what is done to an image and to a batch

struct Box {
  int left, top, width, height;
};

struct Plan {
  i64 image;   // row of `images`; -1: out of range
  Box crop;    // of the resized crop
  int dx, dy;  // of the padded crop
  int mirror;
  int ops[kMaxRandOps], signs[kMaxRandOps];
  int hole_left, hole_right, hole_top, hole_bottom;  // of cutout, ends excluded
  Box erased;                                        // of random erasing; without area where nothing is
};

enum MixKind { kNoMix, kMixup, kCutmix };

struct Mix {
  int kind;
  double lambda;  // share of the image itself
  i64 shift;
  int left, right, top, bottom;  // of the partner's rectangle, ends excluded
};

MP_FUNCTION double rounded(double x) { return floor(x + 0.5); }

// As torchvision's RandomResizedCrop: ten tries, then the largest central box of an allowed ratio.
MP_APART Box draw_crop(const AugmentArgs& a, Stream& s) {
  const int width = a.width, height = a.height;
  const double log_low = log(a.ratio_low), log_high = log(a.ratio_high);
  Box box;
  for (int attempt = 0; attempt < 10; attempt++) {
    const double area = product(static_cast<double>(width) * height, between(s, a.scale_low, a.scale_high));
    const double aspect = exp(between(s, log_low, log_high));
    const double w = rounded(sqrt(area * aspect)), h = rounded(sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      box.width = static_cast<int>(w), box.height = static_cast<int>(h);
      box.left = static_cast<int>(below(s, static_cast<u64>(width - box.width + 1)));
      box.top = static_cast<int>(below(s, static_cast<u64>(height - box.height + 1)));
      return box;
    }
  }
  const double aspect = smaller(a.ratio_high, larger(a.ratio_low, static_cast<double>(width) / height));
  box.width = static_cast<int>(larger(1.0, smaller(static_cast<double>(width), rounded(height * aspect))));
  box.height = static_cast<int>(larger(1.0, smaller(static_cast<double>(height), rounded(width / aspect))));
  box.left = (width - box.width) / 2, box.top = (height - box.height) / 2;
  return box;
}

// Zhong et al. 2020, with timm's ranges: ten tries, then nothing is erased.
MP_APART Box draw_erased(const AugmentArgs& a, Stream& s) {
  const int width = a.width, height = a.height;
  Box box;
  box.left = box.top = box.width = box.height = 0;
  if (uniform(s) >= a.erasing) return box;
  for (int attempt = 0; attempt < 10; attempt++) {
    const double area = product(static_cast<double>(width) * height, between(s, 0.02, 1.0 / 3));
    const double aspect = exp(between(s, log(0.3), log(1 / 0.3)));
    const double w = rounded(sqrt(area / aspect)), h = rounded(sqrt(area * aspect));
    if (w > 0 && w < width && h > 0 && h < height) {
      box.width = static_cast<int>(w), box.height = static_cast<int>(h);
      box.left = static_cast<int>(below(s, static_cast<u64>(width - box.width + 1)));
      box.top = static_cast<int>(below(s, static_cast<u64>(height - box.height + 1)));
      return box;
    }
  }
  return box;
}

MP_APART Plan draw_plan(const AugmentArgs& a, i64 row) {
  const u64 seed = static_cast<u64>(a.state[0]), epoch = static_cast<u64>(a.state[1]);
  Plan p;
  p.image = a.order[row];
  if (p.image < 0 || p.image >= a.count) p.image = -1;
  const u64 sample = static_cast<u64>(a.samples ? a.samples[row] : a.order[row]);
  p.crop.left = p.crop.top = 0, p.crop.width = a.width, p.crop.height = a.height;
  if (a.resized) {
    Stream s = stream_of(seed, epoch, sample, kStageResizedCrop);
    p.crop = draw_crop(a, s);
  }
  p.dx = p.dy = 0;
  if (a.pad_crop > 0) {
    Stream s = stream_of(seed, epoch, sample, kStagePadCrop);
    const u64 places = 2 * static_cast<u64>(a.pad_crop) + 1;
    p.dx = static_cast<int>(below(s, places)) - a.pad_crop;
    p.dy = static_cast<int>(below(s, places)) - a.pad_crop;
  }
  p.mirror = 0;
  if (a.flip) {
    Stream s = stream_of(seed, epoch, sample, kStageFlip);
    p.mirror = below(s, 2) == 1;
  }
  if (a.rand_ops > 0) {
    Stream s = stream_of(seed, epoch, sample, kStageRandAugment);
    const u64 choices = a.channels < 3 ? 14 : 15;  // the last, colour, needs three channels
    for (int i = 0; i < a.rand_ops; i++) {
      p.ops[i] = static_cast<int>(below(s, choices));
      p.signs[i] = below(s, 2) == 0 ? 1 : -1;
    }
  }
  p.hole_left = p.hole_right = p.hole_top = p.hole_bottom = 0;
  if (a.cutout > 0) {
    Stream s = stream_of(seed, epoch, sample, kStageCutout);
    const int x = static_cast<int>(below(s, static_cast<u64>(a.width))) - a.cutout / 2;
    const int y = static_cast<int>(below(s, static_cast<u64>(a.height))) - a.cutout / 2;
    p.hole_left = larger(0, x), p.hole_right = smaller(a.width, x + a.cutout);
    p.hole_top = larger(0, y), p.hole_bottom = smaller(a.height, y + a.cutout);
  }
  p.erased.left = p.erased.top = p.erased.width = p.erased.height = 0;
  if (a.erasing > 0) {
    Stream s = stream_of(seed, epoch, sample, kStageErasing);
    p.erased = draw_erased(a, s);
  }
  return p;
}

// One for the whole batch of `size` images, so that workers that make parts of it agree.
MP_APART Mix draw_mix(const AugmentArgs& a, i64 size) {
  Mix m;
  m.kind = kNoMix, m.lambda = 1, m.shift = 0, m.left = m.right = m.top = m.bottom = 0;
  if (size < 2 || (a.mixup == 0 && a.cutmix == 0)) return m;
  Stream s =
      stream_of(static_cast<u64>(a.state[0]), static_cast<u64>(a.state[1]), static_cast<u64>(a.state[2]), kStageMix);
  const bool applies = uniform(s) < a.mix_probability;
  const bool cut = uniform(s) < (a.mixup == 0 ? 1.0 : a.cutmix == 0 ? 0.0 : 0.5);
  m.shift = 1 + static_cast<i64>(below(s, static_cast<u64>(size - 1)));
  const int x = static_cast<int>(below(s, static_cast<u64>(a.width)));
  const int y = static_cast<int>(below(s, static_cast<u64>(a.height)));
  if (!applies) return m;
  m.lambda = symmetric_beta(s, cut ? a.cutmix : a.mixup);
  m.kind = cut ? kCutmix : kMixup;
  if (!cut) return m;
  const double side = sqrt(1 - m.lambda);
  const int half_width = static_cast<int>(floor(a.width * side / 2));
  const int half_height = static_cast<int>(floor(a.height * side / 2));
  m.left = larger(0, x - half_width), m.right = smaller(a.width, x + half_width);
  m.top = larger(0, y - half_height), m.bottom = smaller(a.height, y + half_height);
  // What was cut off at the border counts for the image itself.
  const double area = static_cast<double>(m.right - m.left) * (m.bottom - m.top);
  m.lambda = 1 - area / (static_cast<double>(a.width) * a.height);
  return m;
}

// -- pictures

// A picture as stored, or through the padded crop and the mirror: both move whole pixels, so reading through them is
// exact and saves a pass.
struct View {
  const u8* data;
  int dx, dy, mirror;
};

MP_FUNCTION View plain_view(const u8* data) {
  View v;
  v.data = data, v.dx = v.dy = v.mirror = 0;
  return v;
}
// Mean colour, which stands outside of the picture and is zero once normalised.
MP_FUNCTION int fill_of(const AugmentArgs& a, int c) {
  const double level = rounded(a.mean[c] * 255.0);
  return level >= 0 && level <= 255 ? static_cast<int>(level) : level > 255 ? 255 : 0;
}
MP_FUNCTION int pixel(const AugmentArgs& a, const View& v, int c, int x, int y) {
  x = (v.mirror ? a.width - 1 - x : x) + v.dx, y += v.dy;
  if (x < 0 || x >= a.width || y < 0 || y >= a.height) return fill_of(a, c);
  return v.data[(c * a.height + y) * a.width + x];
}
MP_FUNCTION u8 to_byte(double value) {
  return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<u8>(static_cast<int>(value + 0.5));
}
// ITU-R 601 luma in 16-bit fixed point.
MP_FUNCTION int grey_at(const AugmentArgs& a, const View& v, int x, int y) {
  if (a.channels < 3) return pixel(a, v, 0, x, y);
  return (pixel(a, v, 0, x, y) * 19595 + pixel(a, v, 1, x, y) * 38470 + pixel(a, v, 2, x, y) * 7471 + 0x8000) >> 16;
}

// From an output position to the input's.
struct Warp {
  double ax, bx, cx, ay, by, cy;
};

// What the threads of a block share.
struct Shared {
  u64 sum;
  Warp warp;
  Plan own, other;
  Mix mix;
  i64 own_label, other_label;
  u32 histogram[256], low, high;
  u8 table[256];
};

enum Op {
  kIdentity,
  kAutocontrast,
  kEqualize,
  kInvert,
  kPosterize,
  kSolarize,
  kContrast,
  kBrightness,
  kSharpness,
  kRotate,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kColour
};

// Where a table comes from: a factor and a level, 0..1, of the operation.
MP_FUNCTION void make_table(const AugmentArgs& a, const View& in, int op, double level, double factor, int c, Shared& s,
                            Team t) {
  const int plane = a.height * a.width;
  if (op == kAutocontrast) {
    if (t.rank == 0) s.low = 255, s.high = 0;
    meet();
    u32 low = 255, high = 0;
    for (int i = t.rank; i < plane; i += t.size) {
      const u32 v = static_cast<u32>(pixel(a, in, c, i % a.width, i / a.width));
      low = v < low ? v : low, high = v > high ? v : high;
    }
    lower_to(&s.low, low), raise_to(&s.high, high);
    meet();
    const int least = static_cast<int>(s.low), span = static_cast<int>(s.high) - least;
    for (int v = t.rank; v < 256; v += t.size)
      s.table[v] = span > 0 ? to_byte((v - least) * 255 / static_cast<double>(span)) : static_cast<u8>(v);
  } else if (op == kEqualize) {
    for (int v = t.rank; v < 256; v += t.size) s.histogram[v] = 0;
    meet();
    for (int i = t.rank; i < plane; i += t.size) add_to(&s.histogram[pixel(a, in, c, i % a.width, i / a.width)], 1u);
    meet();
    int last = 255;
    while (last > 0 && s.histogram[last] == 0) last--;
    const u32 step = (static_cast<u32>(plane) - s.histogram[last]) / 255;
    for (int v = t.rank; v < 256; v += t.size) {
      u32 sum = step / 2;
      for (int u = 0; u < v; u++) sum += s.histogram[u];
      const u32 moved = step == 0 ? static_cast<u32>(v) : sum / step;  // 0: too few different values
      s.table[v] = static_cast<u8>(moved > 255 ? 255 : moved);
    }
  } else if (op == kContrast) {
    if (t.rank == 0) s.sum = 0;
    meet();
    u64 sum = 0;
    for (int i = t.rank; i < plane; i += t.size) sum += static_cast<u64>(grey_at(a, in, i % a.width, i / a.width));
    add_to(&s.sum, sum);
    meet();
    const double mean = rounded(static_cast<double>(s.sum) / plane);
    for (int v = t.rank; v < 256; v += t.size) s.table[v] = to_byte(mean + product(factor, v - mean));
  } else {
    const int mask = (0xff << static_cast<int>(rounded(4 * level))) & 0xff,
              threshold = 256 - static_cast<int>(rounded(256 * level));
    for (int v = t.rank; v < 256; v += t.size) {
      const int moved = op == kInvert                       ? 255 - v
                        : op == kPosterize                  ? v & mask
                        : op == kSolarize && v >= threshold ? 255 - v
                                                            : v;
      s.table[v] = op == kBrightness ? to_byte(product(static_cast<double>(v), factor)) : static_cast<u8>(moved);
    }
  }
  meet();
}

MP_FUNCTION void through_table(const AugmentArgs& a, const View& in, u8* out, int op, double level, double factor,
                               Shared& s, Team t) {
  const int plane = a.height * a.width;
  for (int c = 0; c < a.channels; c++) {
    if (c == 0 || op == kAutocontrast || op == kEqualize) make_table(a, in, op, level, factor, c, s, t);
    for (int i = t.rank; i < plane; i += t.size)
      out[c * plane + i] = s.table[pixel(a, in, c, i % a.width, i / a.width)];
    meet();  // before the next table is written
  }
}

// Saturation; channels beyond the third stay.
MP_FUNCTION void colour(const AugmentArgs& a, const View& in, u8* out, double factor, Team t) {
  const int plane = a.height * a.width;
  for (int i = t.rank; i < plane; i += t.size) {
    const int x = i % a.width, y = i / a.width;
    const int grey = grey_at(a, in, x, y);
    for (int c = 0; c < a.channels; c++) {
      const int v = pixel(a, in, c, x, y);
      out[c * plane + i] = c < 3 ? to_byte(grey + product(factor, v - grey)) : static_cast<u8>(v);
    }
  }
}

MP_FUNCTION void sharpness(const AugmentArgs& a, const View& in, u8* out, double factor, Team t) {
  const int plane = a.height * a.width;
  for (int i = t.rank; i < plane; i += t.size) {
    const int x = i % a.width, y = i / a.width;
    const bool border = x == 0 || y == 0 || x == a.width - 1 || y == a.height - 1;
    for (int c = 0; c < a.channels; c++) {
      const int v = pixel(a, in, c, x, y);
      if (border) {
        out[c * plane + i] = static_cast<u8>(v);
        continue;
      }
      int sum = 4 * v;  // the middle is among the nine below, and weighs five
      for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++) sum += pixel(a, in, c, x + dx, y + dy);
      const double smooth = sum / 13.0;
      out[c * plane + i] = to_byte(smooth + product(factor, v - smooth));
    }
  }
}

MP_APART Warp warp_of(const AugmentArgs& a, int op, double level, double sign) {
  const double x0 = (a.width - 1) / 2.0, y0 = (a.height - 1) / 2.0;
  Warp w;
  w.ax = 1, w.bx = 0, w.cx = 0, w.ay = 0, w.by = 1, w.cy = 0;
  if (op == kRotate) {
    const double angle = 30 * level * sign * 3.141592653589793 / 180, cosine = cos(angle), sine = sin(angle);
    w.ax = cosine, w.bx = -sine, w.cx = x0 - product(cosine, x0) + product(sine, y0);
    w.ay = sine, w.by = cosine, w.cy = y0 - product(sine, x0) - product(cosine, y0);
  } else if (op == kShearX) {
    w.bx = 0.3 * level * sign, w.cx = -w.bx * y0;
  } else if (op == kShearY) {
    w.ay = 0.3 * level * sign, w.cy = -w.ay * x0;
  } else if (op == kTranslateX) {
    w.cx = 0.45 * a.width * level * sign;
  } else {
    w.cy = 0.45 * a.height * level * sign;
  }
  return w;
}

// The picture through an affine map; what lies outside is the mean colour.
MP_FUNCTION void warp_affine(const AugmentArgs& a, const View& in, u8* out, const Warp& w, Team t) {
  const int plane = a.height * a.width;
  const auto at = [&](int c, int x, int y) {
    return static_cast<double>(x >= 0 && x < a.width && y >= 0 && y < a.height ? pixel(a, in, c, x, y) : fill_of(a, c));
  };
  for (int i = t.rank; i < plane; i += t.size) {
    const int x = i % a.width, y = i / a.width;
    const double u = product(w.ax, x) + product(w.bx, y) + w.cx, v = product(w.ay, x) + product(w.by, y) + w.cy;
    if (a.nearest) {
      const int from_x = static_cast<int>(rounded(u)), from_y = static_cast<int>(rounded(v));
      for (int c = 0; c < a.channels; c++) out[c * plane + i] = static_cast<u8>(at(c, from_x, from_y));
      continue;
    }
    const double left = floor(u), top = floor(v), right = u - left, below = v - top;
    const int from_x = static_cast<int>(left), from_y = static_cast<int>(top);
    const double w00 = product(1 - right, 1 - below), w10 = product(right, 1 - below);
    const double w01 = product(1 - right, below), w11 = product(right, below);
    for (int c = 0; c < a.channels; c++) {
      const double upper = product(w00, at(c, from_x, from_y)) + product(w10, at(c, from_x + 1, from_y));
      const double all = upper + product(w01, at(c, from_x, from_y + 1)) + product(w11, at(c, from_x + 1, from_y + 1));
      out[c * plane + i] = static_cast<u8>(static_cast<int>(all + 0.5));
    }
  }
}

// Enlarges a box to the picture's size; positions stay inside the box.
MP_FUNCTION void resize_box(const AugmentArgs& a, const u8* in, u8* out, const Box& box, Team t) {
  const int plane = a.height * a.width;
  const double scale_x = static_cast<double>(box.width) / a.width, scale_y = static_cast<double>(box.height) / a.height;
  const int last_x = box.left + box.width - 1, last_y = box.top + box.height - 1;
  for (int i = t.rank; i < plane; i += t.size) {
    const double u = box.left + product(i % a.width + 0.5, scale_x) - 0.5,
                 v = box.top + product(i / a.width + 0.5, scale_y) - 0.5;
    const double x = smaller(static_cast<double>(last_x), larger(static_cast<double>(box.left), u));
    const double y = smaller(static_cast<double>(last_y), larger(static_cast<double>(box.top), v));
    const int from_x = smaller(static_cast<int>(floor(x)), larger(box.left, last_x - 1));
    const int from_y = smaller(static_cast<int>(floor(y)), larger(box.top, last_y - 1));
    const double right = x - from_x, below = y - from_y;
    const int next = from_x < last_x ? 1 : 0, line = from_y < last_y ? a.width : 0;
    for (int c = 0; c < a.channels; c++) {
      const u8* p = in + c * plane + from_y * a.width + from_x;
      const double upper = product(p[0], 1 - right) + product(p[next], right);
      const double lower = product(p[line], 1 - right) + product(p[line + next], right);
      out[c * plane + i] = static_cast<u8>(static_cast<int>(product(upper, 1 - below) + product(lower, below) + 0.5));
    }
  }
}

// One image by its plan. The result lies in one of the canvases, or is the source itself.
MP_APART View make_picture(const AugmentArgs& a, const Plan& p, u8* canvas, u8* spare, Shared& s, Team t) {
  const int plane = a.height * a.width;
  View v = plain_view(a.images + p.image * (static_cast<i64>(a.channels) * plane));
  const auto wrote = [&]() {
    v = plain_view(canvas);
    canvas = spare, spare = const_cast<u8*>(v.data);
    meet();
  };
  if (a.resized) {
    resize_box(a, v.data, canvas, p.crop, t);
    wrote();
  }
  v.dx = p.dx, v.dy = p.dy, v.mirror = p.mirror;
  const double level = a.magnitude / 10;
  for (int k = 0; k < a.rand_ops; k++) {
    const int op = p.ops[k];
    if (op == kIdentity) continue;
    const double sign = p.signs[k], factor = 1 + product(0.9 * level, sign);
    if (op == kColour) colour(a, v, canvas, factor, t);
    else if (op == kSharpness) sharpness(a, v, canvas, factor, t);
    else if (op >= kRotate) {
      if (t.rank == 0) s.warp = warp_of(a, op, level, sign);
      meet();
      warp_affine(a, v, canvas, s.warp, t);
    } else through_table(a, v, canvas, op, level, factor, s, t);
    wrote();
  }
  return v;
}

// -- output

union FloatBits {
  float value;
  u32 bits;
};
// Both round to nearest, ties to even.
MP_FUNCTION u16 to_bfloat16(float value) {
  FloatBits f;
  f.value = value;
  if ((f.bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
  return static_cast<u16>((f.bits + 0x7fffu + ((f.bits >> 16) & 1u)) >> 16);
}
MP_FUNCTION u16 to_float16(float value) {
  FloatBits f;
  f.value = value;
  const u32 sign = (f.bits >> 16) & 0x8000u;
  f.bits &= 0x7fffffffu;
  u32 half;
  if (f.bits > 0x7f800000u) half = 0x7e00u;
  else if (f.bits >= 0x477ff000u) half = 0x7c00u;  // from 65520 on: infinity
  else if (f.bits < 0x38800000u) {
    f.value += 0.5f;  // a unit in the last place of 0.5 is the smallest subnormal of float16: the addition rounds
    half = f.bits - 0x3f000000u;
  } else half = (f.bits - 0x38000000u + 0xfffu + ((f.bits >> 13) & 1u)) >> 13;
  return static_cast<u16>(sign | half);
}
MP_FUNCTION void store(const AugmentArgs& a, i64 at, float value) {
  if (a.output == kFloat32) static_cast<float*>(a.out)[at] = value;
  else static_cast<u16*>(a.out)[at] = a.output == kBfloat16 ? to_bfloat16(value) : to_float16(value);
}
// With the holes of cutout and of random erasing, which are filled last.
MP_FUNCTION float level_at(const AugmentArgs& a, const View& v, const Plan& p, int c, int x, int y) {
  const bool hidden = x >= p.hole_left && x < p.hole_right && y >= p.hole_top && y < p.hole_bottom;
  const bool erased = x >= p.erased.left && x < p.erased.left + p.erased.width && y >= p.erased.top &&
                      y < p.erased.top + p.erased.height;
  return static_cast<float>(hidden || erased ? fill_of(a, c) : pixel(a, v, c, x, y));
}

MP_FUNCTION void write_image(const AugmentArgs& a, i64 row, const View& own, const View& other, const Shared& s,
                             Team t) {
  const int plane = a.height * a.width;
  const Mix& m = s.mix;
  const float lambda = static_cast<float>(m.lambda), rest = static_cast<float>(1 - m.lambda);
  for (int c = 0; c < a.channels; c++) {
    const float scale = 1 / product(255.0f, a.std[c]), bias = -a.mean[c] / a.std[c];
    const i64 start = (row * a.channels + c) * plane;
    for (int i = t.rank; i < plane; i += t.size) {
      const int x = i % a.width, y = i / a.width;
      const bool theirs = m.kind == kCutmix && x >= m.left && x < m.right && y >= m.top && y < m.bottom;
      float v = theirs ? level_at(a, other, s.other, c, x, y) : level_at(a, own, s.own, c, x, y);
      if (m.kind == kMixup) v = product(lambda, v) + product(rest, level_at(a, other, s.other, c, x, y));
      store(a, start + i, product(v, scale) + bias);
    }
  }
}

MP_FUNCTION void write_targets(const AugmentArgs& a, i64 row, const Shared& s, Team t) {
  if (t.rank == 0) a.out_labels[row] = s.own_label;
  if (!a.out_targets) return;
  const float lambda = static_cast<float>(s.mix.lambda), rest = static_cast<float>(1 - s.mix.lambda);
  for (int k = t.rank; k < a.classes; k += t.size) {
    const bool own = k == s.own_label, other = k == s.other_label;
    a.out_targets[row * a.classes + k] = own && other ? 1.0f : own ? lambda : other ? rest : 0.0f;
  }
}

// Row `row` of the output. @param canvases - room for a.canvases pictures
MP_FUNCTION void make_row(const AugmentArgs& a, i64 row, u8* canvases, Shared& s, Team t) {
  const i64 bytes = static_cast<i64>(a.channels) * a.height * a.width;
  if (t.rank == 0) {
    const i64 batches = (a.rows + a.global_batch - 1) / a.global_batch;
    // A graph that is replayed too often begins again: it must never read beyond the order.
    i64 step = a.state[2] % batches;
    if (step < 0) step += batches;
    const i64 start = step * a.global_batch;
    const i64 size = a.rows - start < a.global_batch ? a.rows - start : a.global_batch;
    const i64 place = (a.first_row + row) % size;
    s.mix = draw_mix(a, size);
    s.own = draw_plan(a, start + place);
    s.own_label = s.own.image < 0 ? 0 : a.labels[s.own.image];
    s.other_label = s.own_label;
    if (s.mix.kind != kNoMix) {
      s.other = draw_plan(a, start + (place + s.mix.shift) % size);
      s.other_label = s.other.image < 0 ? 0 : a.labels[s.other.image];
    }
  }
  meet();
  if (s.own.image < 0 || (s.mix.kind != kNoMix && s.other.image < 0)) {
    // The host cannot look into the order of a device: the loss says that something is wrong.
    FloatBits nothing;
    nothing.bits = 0x7fc00000u;
    for (i64 i = t.rank; i < bytes; i += t.size) store(a, row * bytes + i, nothing.value);
  } else {
    const View own = make_picture(a, s.own, canvases, canvases + bytes, s, t);
    View other = own;
    if (s.mix.kind != kNoMix) {
      u8* spare = own.data == canvases ? canvases + bytes : canvases;
      other = make_picture(a, s.other, spare, canvases + 2 * bytes, s, t);
    }
    write_image(a, row, own, other, s, t);
  }
  write_targets(a, row, s, t);
  meet();  // before the plans of the next row are written
}

#ifdef __CUDACC__
// Any number of blocks; dynamic shared memory for the canvases unless a.scratch has them.
extern "C" __global__ void __launch_bounds__(kThreads) augment_batch(AugmentArgs a) {
  extern __shared__ u8 room[];
  __shared__ Shared shared;
  const i64 bytes = static_cast<i64>(a.channels) * a.height * a.width;
  u8* canvases = a.scratch ? a.scratch + blockIdx.x * a.canvases * bytes : room;
  const Team team = {static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)};
  for (i64 row = blockIdx.x; row < a.batch; row += gridDim.x) make_row(a, row, canvases, shared, team);
}

// One thread, after the batch: the next replay of a graph makes the next one.
extern "C" __global__ void augment_advance(i64* state) { state[2] += 1; }
#endif

}  // namespace augment
}  // namespace mamba_prune
#undef MP_FUNCTION
#undef MP_APART
