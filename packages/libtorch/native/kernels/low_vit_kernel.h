// The block of vit_block_kernel.h with its matrices in low precision. Attention's own products are in bfloat16, in int8
// too, where the processor has it.
// Included by isa_table.h after vit_block_kernel.h and low_stage.h.
namespace mamba_prune {
namespace MP_ISA {

// Rows of bfloat16 [length, head_dim], `stride` bytes apart, as a matrix of head_dim columns: a lane holds two rows'
// numbers. Lanes behind the last row are zeros; columns behind the last hold what lies beside the rows.
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

// Rows of bfloat16 [length, head_dim], `stride` bytes apart, as a matrix of `length` columns. Lanes behind the last of
// a row are zeros, and columns behind the last row.
inline void low_pack_keys(const uint8_t* rows, int64_t stride, int64_t length, int64_t head_dim, uint8_t* panels) {
  const int64_t lanes = depth_bytes(LowPrecision::bf16, head_dim) / kLaneBytes, used = (2 * head_dim + 3) / kLaneBytes;
  for (int64_t j = 0; j < length; j += kLowPanel) {
    float* panel = reinterpret_cast<float*>(panels) + j * lanes;
    const int64_t valid = length - j < kLowPanel ? length - j : kLowPanel;
    pack_panel(panel, reinterpret_cast<const float*>(rows + j * stride), stride / kLaneBytes, valid, used);
    for (int64_t k = used * kLowPanel; k < lanes * kLowPanel; k += kWidth) store<float>(panel + k, VF{});
  }
}

// Zeros behind the columns of rows of bfloat16.
inline void low_clear_tails(const Team& team, int64_t count, int64_t columns, uint8_t* rows) {
  const int64_t bytes = depth_bytes(LowPrecision::bf16, columns);
  for (int64_t r = team.first(count); r < team.last(count) && 2 * columns < bytes; r++)
    __builtin_memset(rows + r * bytes + 2 * columns, 0, static_cast<size_t>(bytes - 2 * columns));
}

// Rows of bfloat16 with zeros behind their last column, beside which another number may be read. A call of the C
// library for each would take longer.
inline void low_copy_rows(const uint8_t* from, int64_t stride, int64_t count, int64_t columns, uint8_t* to) {
  const int64_t bytes = depth_bytes(LowPrecision::bf16, columns);
  const uint16_t nothing = 0;
  for (int64_t r = 0; r < count; r++, from += stride, to += bytes) {
    for (int64_t c = 0; 2 * c < bytes; c += 32)
      _mm512_storeu_si512(to + 2 * c, _mm512_maskz_loadu_epi32(lanes_below((columns - c + 1) / 2), from + 2 * c));
    if (columns % 2) __builtin_memcpy(to + 2 * columns, &nothing, sizeof nothing);
  }
}

// One head of one sample, queries [begin, end). `seen`: where the result goes in bfloat16, as rows of the product that
// follows; null for a.buffers.seen.
inline void low_attend(const VitArgs& a, int64_t sample, int64_t head, int64_t begin, int64_t end, uint8_t* seen,
                       float* scratch) {
  const VitSizes& s = a.sizes;
  const LowKernels& kernels = *a.attention;
  const int64_t inner = s.inner(), d = s.head_dim, length = s.length;
  const int64_t stride = depth_bytes(LowPrecision::bf16, 3 * inner),
                seen_stride = depth_bytes(LowPrecision::bf16, inner);
  const uint8_t* q = bytes_at(a.buffers.qkv) + sample * length * stride + 2 * head * d;
  const LowAttentionScratch layout(s);
  const LowRows rows{bytes_at(scratch + layout.rows), nullptr, nullptr},
      weights{bytes_at(scratch + layout.weights), nullptr, nullptr};
  uint8_t *keys = bytes_at(scratch + layout.keys), *values = bytes_at(scratch + layout.values);
  float *scores = scratch + layout.scores, *inverse = scratch + layout.sums, *found = scratch + layout.found;
  low_pack_keys(q + 2 * inner, stride, length, d, keys);
  low_pack_values(q + 4 * inner, stride, length, d, values);
  const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
  const Team alone{0, 1};
  LowProduct compare{0, {keys, nullptr, nullptr, length, d}, scores, layout.score_stride},
      gather{0, {values, nullptr, nullptr, d, length}, found, layout.found_stride};
  compare.roomy = gather.roomy = true;
  // Whole tiles of rows: with AMX's 32 a tile of weights is multiplied twice for each time that it is loaded, and the
  // scores stay in the first-level cache.
  const int64_t most = kAttentionRows / kernels.tile * kernels.tile;
  for (int64_t row = begin; row < end; row += most) {
    const int64_t count = end - row < most ? end - row : most, first = sample * length + row;
    compare.rows = gather.rows = count;
    low_copy_rows(q + row * stride, stride, count, d, rows.values);
    low_multiply_stage(alone, kernels, compare, rows);
    kernels.softmax({scores, layout.score_stride, length, scale, weights.values, inverse}, count);
    low_multiply_stage(alone, kernels, gather, weights);
    if (seen) {
      kernels.scale({found, layout.found_stride, d, inverse, seen + first * seen_stride + 2 * head * d, seen_stride},
                    count);
      continue;
    }
    for (int64_t r = 0; r < count; r++)
      for (int64_t c = 0; c < d; c += kWidth)
        store_n<true>(a.buffers.seen + (first + r) * inner + head * d + c,
                      load(found + r * layout.found_stride + c) * inverse[r], d - c);
  }
}

inline void low_attention_stage(const VitArgs& a, const Team& team, uint8_t* seen, float* scratch) {
  if (!a.attention) return attention_stage(a, team, scratch);
  const VitSizes& s = a.sizes;
  const int64_t pairs = a.batch * s.heads, slices = team.slices(pairs, s.length), tasks = pairs * slices;
  for (int64_t task = team.first(tasks); task < team.last(tasks); task++) {
    const int64_t pair = task / slices, slice = task % slices;
    low_attend(a, pair / s.heads, pair % s.heads, s.length * slice / slices, s.length * (slice + 1) / slices, seen,
               scratch);
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
  low_multiply_stage(team, kernels,
                     {rows, w.qkv.low, b.qkv, 3 * inner, w.qkv_bias, nullptr, Activation::none,
                      a.attention ? bytes_at(b.qkv) : nullptr},
                     normed);
  team.wait();
  const bool direct = a.attention && kernels.precision == LowPrecision::bf16;
  if (direct) low_clear_tails(team, rows, inner, seen.values);
  low_attention_stage(a, team, direct ? seen.values : nullptr, scratch);
  team.wait();
  if (!direct) {
    low_convert_stage(team, kernels, b.seen, inner, rows, seen);
    team.wait();
  }
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
