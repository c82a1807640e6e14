// The block of vit_block_kernel.h with its matrices in low precision. Attention's own products are in bfloat16, in int8
// too, where the processor has it.
// Included by isa_table.h after vit_block_kernel.h and low_stage.h.
namespace mamba_prune {
namespace MP_ISA {

// Rows of bfloat16 [length, head_dim], `stride` bytes apart, as a matrix of head_dim columns: a lane holds two rows'
// numbers. Lanes behind the last row, and columns behind the last, are zeros.
inline void low_pack_values(const uint8_t* rows, int64_t stride, int64_t length, int64_t head_dim, uint8_t* panels) {
  const int64_t lanes = depth_bytes(LowPrecision::bf16, length) / kLaneBytes;
  for (int64_t c = 0; c < head_dim; c += kLowPanel)
    for (int64_t k = 0; k < lanes; k++, panels += kLowPanel * kLaneBytes)
      for (int64_t half = 0; half < 2; half++) {
        const uint8_t* at = rows + 2 * k * stride + 2 * (c + 16 * half);
        __m256i first = _mm256_setzero_si256(), second = first;
        if (2 * k < length) __builtin_memcpy(&first, at, sizeof first);
        if (2 * k + 1 < length) __builtin_memcpy(&second, at + stride, sizeof second);
        const __m512i pair =
            _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
        __builtin_memcpy(panels + half * 64, &pair, sizeof pair);
      }
}

// exp(scale (row - its largest)) in bfloat16, zeros behind `count` up to `bytes`. Returns the sum of what was written.
inline float low_softmax_row(const float* row, int64_t count, float scale, uint8_t* out, int64_t bytes) {
  VF highest = splat<float>(-__builtin_inff());
  for (int64_t i = 0; i < count; i += kWidth)
    highest = _mm512_mask_max_ps(highest, lanes_below(count - i), highest, load(row + i));
  const float most = _mm512_reduce_max_ps(highest), factor = scale * kLog2eFloat;
  VF total{};
  for (int64_t i = 0; 2 * i < bytes; i += kWidth) {
    const VF e = exp2_low((load(row + i) - most) * factor);
    // To the nearest: no number is negative.
    const __m512i rounded = _mm512_maskz_add_epi32(lanes_below(count - i), (__m512i)e, _mm512_set1_epi32(0x8000));
    const __m512i high = _mm512_srli_epi32(rounded, 16);
    total += (VF)_mm512_slli_epi32(high, 16);
    const __m256i half = _mm512_cvtepi32_epi16(high);
    __builtin_memcpy(out + 2 * i, &half, sizeof half);
  }
  return _mm512_reduce_add_ps(total);
}

// One head of one sample, queries [begin, end).
inline void low_attend(const VitArgs& a, int64_t sample, int64_t head, int64_t begin, int64_t end, float* scratch) {
  const VitSizes& s = a.sizes;
  const LowKernels& kernels = *a.attention;
  const int64_t inner = s.inner(), stride = 3 * inner, d = s.head_dim, length = s.length;
  const float* q = a.buffers.qkv + sample * length * stride + head * d;
  const LowAttentionScratch layout(s);
  const int64_t row_bytes = depth_bytes(LowPrecision::bf16, d), score_bytes = depth_bytes(LowPrecision::bf16, length);
  const LowRows rows{bytes_at(scratch + layout.rows), nullptr, nullptr},
      weights{bytes_at(scratch + layout.weights), nullptr, nullptr};
  uint8_t *keys = bytes_at(scratch + layout.keys), *values = bytes_at(scratch + layout.values);
  float *scores = scratch + layout.scores, *sums = scratch + layout.sums;
  kernels.convert(q + inner, stride, d, rows, 0, length);
  const int64_t lanes = row_bytes / kLaneBytes;
  for (int64_t j = 0; j < length; j += kLowPanel)
    pack_panel(reinterpret_cast<float*>(keys) + j * lanes, reinterpret_cast<float*>(rows.values) + j * lanes, lanes,
               length - j < kLowPanel ? length - j : kLowPanel, lanes);
  kernels.convert(q + 2 * inner, stride, d, rows, 0, length);
  low_pack_values(rows.values, row_bytes, length, d, values);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
  const Team alone{0, 1};
  for (int64_t row = begin; row < end; row += kAttentionRows) {
    const int64_t count = end - row < kAttentionRows ? end - row : kAttentionRows;
    kernels.convert(q + row * stride, stride, d, rows, 0, count);
    low_multiply_stage(alone, kernels, {count, {keys, nullptr, nullptr, length, d}, scores, layout.score_stride}, rows);
    for (int64_t r = 0; r < count; r++)
      sums[r] = low_softmax_row(scores + r * layout.score_stride, length, scale, weights.values + r * score_bytes,
                                score_bytes);
    float* seen = a.buffers.seen + (sample * length + row) * inner + head * d;
    low_multiply_stage(alone, kernels, {count, {values, nullptr, nullptr, d, length}, seen, inner}, weights);
    for (int64_t r = 0; r < count; r++)
      for (int64_t c = 0; c < d; c += kWidth) {
        float* at = seen + r * inner + c;
        store_n<true>(at, load_n<true>(at, d - c) * (1.0f / sums[r]), d - c);
      }
  }
}

inline void low_attention_stage(const VitArgs& a, const Team& team, float* scratch) {
  if (!a.attention) return attention_stage(a, team, scratch);
  const VitSizes& s = a.sizes;
  const int64_t pairs = a.batch * s.heads, slices = team.slices(pairs, s.length), tasks = pairs * slices;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t pair = task / slices, slice = task % slices;
    low_attend(a, pair / s.heads, pair % s.heads, s.length * slice / slices, s.length * (slice + 1) / slices, scratch);
  }
}

inline void low_vit_forward(const VitArgs& a, int64_t part, int64_t parts, float* scratch) {
  const Team team{part, parts};
  const VitSizes& s = a.sizes;
  const VitWeights& w = a.weights;
  const VitBuffers& b = a.buffers;
  const LowKernels& kernels = *a.low;
  const int64_t rows = a.batch * s.length, inner = s.inner();
  const LowRows normed = low_rows(kernels.precision, rows, s.model, b.low[0]),
                seen = low_rows(kernels.precision, rows, inner, b.low[0]);
  low_norm_stage(team, kernels, rows, s.model, a.x, w.norm1_weight, w.norm1_bias, a.eps, normed, scratch);
  team.wait();
  low_multiply_stage(team, kernels, {rows, w.qkv.low, b.qkv, 3 * inner, w.qkv_bias}, normed);
  team.wait();
  low_attention_stage(a, team, scratch);
  team.wait();
  low_convert_stage(team, kernels, b.seen, inner, rows, seen);
  team.wait();
  low_multiply_stage(team, kernels, {rows, w.proj.low, a.y, s.model, w.proj_bias, a.x}, seen);
  team.wait();
  low_norm_stage(team, kernels, rows, s.model, a.y, w.norm2_weight, w.norm2_bias, a.eps, normed, scratch);
  team.wait();
  const LowMlp mlp{w.fc1.low, w.fc1_bias, w.fc2.low, w.fc2_bias};
  const LowRows activated = low_rows(kernels.precision, rows, s.hidden, b.low[1]);
  low_fc1_stage(team, kernels, rows, mlp, normed, b.hidden, activated);
  low_fc2_stage(team, kernels, rows, mlp, activated, a.y);
}

}  // namespace MP_ISA
}  // namespace mamba_prune
