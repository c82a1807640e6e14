// The random numbers of augment.cu: Philox4x32-10 (Salmon et al. 2011), key: seed, counter: (block of four words,
// sample, epoch, stage).
#pragma once
#include "augment_team.cuh"

namespace mamba_prune {
namespace augment {

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

}  // namespace augment
}  // namespace mamba_prune
