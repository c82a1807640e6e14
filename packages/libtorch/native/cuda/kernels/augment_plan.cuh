// What augment.cu does to an image and to a batch, drawn by chance.
#pragma once
#include "augment_random.cuh"

namespace mamba_prune {
namespace augment {

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

}  // namespace augment
}  // namespace mamba_prune
