// How augment.cu carries out the plan of an image: crops, flips and the operations of RandAugment.
#pragma once
#include "augment_plan.cuh"

namespace mamba_prune {
namespace augment {

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

}  // namespace augment
}  // namespace mamba_prune
