// Training batches out of a data set that lies in device memory: crop, flip, RandAugment, cutout, random erasing,
// mixup, cutmix, normalisation. One block makes one image.
//
// One source for both devices. NVRTC compiles it for CUDA, where no standard header exists; kernels/augment_cpu.cc
// includes it as C++, where a "block" is one thread. So the CPU's tests test what a GPU runs.
//
// The meaning of every option, the order of the random draws and the rounding are those of the loader on the CPU
// (packages/mamba-prune/src/data/augment); only the source of the random words differs: Philox, which needs no state.
// All that decides a byte is computed in double and without contracted products, so that both devices round alike.

#include "augment_picture.cuh"

namespace mamba_prune {
namespace augment {

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
