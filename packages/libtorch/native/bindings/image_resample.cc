#include "bindings/image_resample.h"

#include "kernels/kernel_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mamba_prune {

namespace {

constexpr int kFractionBits = 22;

// Of one direction: which input lines each output line is made of.
struct Axis {
  std::vector<int32_t> starts, counts, weights;
  int64_t taps = 1;
  int64_t from = 0, to = 0;  // the inputs that any of them needs

  // With starts counted from `from`.
  LineWeights lines() const {
    return {starts.data(), counts.data(), weights.data(), taps, static_cast<int64_t>(starts.size())};
  }
};

// Keys (1981) with a = -0.5, in Pillow's order of operations.
double cubic(double x) {
  constexpr double a = -0.5;
  const double d = std::abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

double weight_at(Filter filter, double x) {
  return filter == Filter::bicubic ? cubic(x) : std::max(0.0, 1 - std::abs(x));
}

// An axis whose length stays: Pillow leaves the pass out.
Axis copying(int64_t first, int64_t count) {
  Axis axis;
  for (int64_t i = 0; i < count; i++) axis.starts.push_back(static_cast<int32_t>(i));
  axis.counts.assign(count, 1), axis.weights.assign(count, 1 << kFractionBits);
  axis.from = first, axis.to = first + count;
  return axis;
}

// Of the outputs `first` to `first + count` when `inputs` lines become `outputs`.
Axis resizing(int64_t inputs, int64_t outputs, int64_t first, int64_t count, Filter filter) {
  const double ratio = static_cast<double>(inputs) / static_cast<double>(outputs);
  const double stretch = std::max(ratio, 1.0);
  const double support = (filter == Filter::bicubic ? 2 : 1) * stretch;
  const double inverse = 1 / stretch;
  Axis axis;
  axis.taps = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  axis.starts.resize(count), axis.counts.resize(count), axis.weights.resize(count * axis.taps);
  axis.from = inputs, axis.to = 0;
  std::vector<double> exact(axis.taps);
  for (int64_t i = 0; i < count; i++) {
    const double centre = (static_cast<double>(first + i) + 0.5) * ratio;
    const int64_t start = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const int64_t end = std::min<int64_t>(inputs, static_cast<int64_t>(centre + support + 0.5));
    double sum = 0;
    for (int64_t k = start; k < end; k++) {
      const double value = weight_at(filter, (static_cast<double>(k) - centre + 0.5) * inverse);
      exact[k - start] = value;
      sum += value;
    }
    for (int64_t k = 0; k < end - start; k++) {
      const double share = sum == 0 ? exact[k] : exact[k] / sum;
      const double scaled = share * (1 << kFractionBits);
      axis.weights[i * axis.taps + k] = static_cast<int32_t>(share < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    axis.starts[i] = static_cast<int32_t>(start);
    axis.counts[i] = static_cast<int32_t>(end - start);
    axis.from = std::min(axis.from, start);
    axis.to = std::max(axis.to, end);
  }
  for (int32_t& start : axis.starts) start -= static_cast<int32_t>(axis.from);
  return axis;
}

Axis axis_of(int64_t inputs, int64_t outputs, int64_t first, int64_t count, Filter filter) {
  return inputs == outputs ? copying(first, count) : resizing(inputs, outputs, first, count, filter);
}

// [lines, planes, length] -> [length, planes, lines]
void transpose(const uint8_t* in, int64_t lines, int planes, int64_t length, uint8_t* out) {
  for (int plane = 0; plane < planes; plane++) {
    isa().transpose_bytes(in + plane * length, lines, planes * length, length, 1, out + plane * lines, planes * lines);
  }
}

}  // namespace

void resample(const Picture& picture, int planes, const Frame& frame, int64_t size, Filter filter, uint8_t* out,
              ResampleBuffers& buffers) {
  const Axis columns = axis_of(picture.width, frame.width, frame.left, size, filter);
  const Axis rows = axis_of(picture.height, frame.height, frame.top, size, filter);
  const int64_t across = columns.to - columns.from, down = rows.to - rows.from;
  const auto combine = isa().combine_lines;
  auto& [a, b] = buffers;
  const size_t bytes = static_cast<size_t>(planes) * std::max(across, size) * std::max(down, size);
  if (a.size() < bytes) a.resize(bytes), b.resize(bytes);
  const auto pixel = [&](int64_t y) {
    return picture.data + (rows.from + y) * picture.stride + columns.from * picture.step;
  };
  // Pillow 13 begins with the columns where that is less work; see preparation/resample.ts.
  const int64_t shrunk = picture.height - frame.height;
  if (shrunk > 0 && shrunk > 2 * (picture.width - frame.width)) {
    for (int64_t y = 0; y < down; y++) {
      for (int plane = 0; plane < planes; plane++) {
        const uint8_t* from = pixel(y) + plane;
        uint8_t* to = a.data() + (y * planes + plane) * across;
        for (int64_t x = 0; x < across; x++) to[x] = from[x * picture.step];
      }
    }
    combine(rows.lines(), a.data(), planes * across, b.data());   // [size, planes, across]
    transpose(b.data(), size, planes, across, a.data());          // [across, planes, size]
    combine(columns.lines(), a.data(), planes * size, b.data());  // [size, planes, size], columns first
    transpose(b.data(), size, planes, size, a.data());            // rows first
  } else {
    for (int plane = 0; plane < planes; plane++) {
      isa().transpose_bytes(pixel(0) + plane, down, picture.stride, across, picture.step, a.data() + plane * down,
                            planes * down);
    }
    combine(columns.lines(), a.data(), planes * down, b.data());  // [size, planes, down]
    transpose(b.data(), size, planes, down, a.data());            // [down, planes, size]
    combine(rows.lines(), a.data(), planes * size, b.data());     // [size, planes, size]
    std::swap(a, b);
  }
  for (int64_t y = 0; y < size; y++) {
    for (int plane = 0; plane < planes; plane++) {
      std::memcpy(out + (plane * size + y) * size, a.data() + (y * planes + plane) * size, size);
    }
  }
}

}  // namespace mamba_prune
