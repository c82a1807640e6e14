// Pillow's resize, bit for bit (src/libImaging/Resample.c of Pillow 13, for 8 bits per channel). A pass along the rows and
// one along the columns; weights are integers of 22 fractional bits, and each pass rounds to bytes. When a picture
// shrinks, the filter widens with the ratio, which is the antialiasing.
//
// Only the pixels of the crop are computed. Each depends on the input alone, so they are the same as if the whole
// picture had been resized, and memory stays small however long the other side is.
import type { Frame } from './geometry.js';
import type { Interpolation } from './preprocessing.js';

/** Bits behind the point: 32 less 8 of a byte, less 2 for sign and overshoot. */
const fractionBits = 22;
const half = 1 << (fractionBits - 1);

interface Filter {
  /** Reach to either side, in input pixels at ratio 1. */
  readonly support: number;
  readonly weight: (x: number) => number;
}

const filters: Record<Interpolation, Filter> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
};

/** Keys (1981) with a = -0.5, in Pillow's order of operations. */
function cubic(x: number): number {
  const a = -0.5;
  const d = Math.abs(x);
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

/** Which input pixels an axis' outputs are made of. */
interface Axis {
  /** [outputs], the first input of each. */
  readonly starts: Int32Array;
  /** [outputs] */
  readonly counts: Int32Array;
  /** [outputs, taps] */
  readonly weights: Int32Array;
  readonly taps: number;
  /** The inputs that any of them needs: from, up to. */
  readonly from: number;
  readonly to: number;
}

/** Of the outputs `first` to `first + count` when `inputs` pixels become `outputs`. */
function axisOf(
  inputs: number,
  outputs: number,
  first: number,
  count: number,
  { support: reach, weight }: Filter,
): Axis {
  const ratio = inputs / outputs;
  const stretch = Math.max(ratio, 1);
  const support = reach * stretch;
  const inverse = 1 / stretch;
  const taps = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(count);
  const counts = new Int32Array(count);
  const weights = new Int32Array(count * taps);
  const exact = new Float64Array(taps);
  let [from, to] = [inputs, 0];
  for (let i = 0; i < count; i++) {
    const centre = (first + i + 0.5) * ratio;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(inputs, Math.trunc(centre + support + 0.5));
    let sum = 0;
    for (let k = start; k < end; k++) {
      const value = weight((k - centre + 0.5) * inverse);
      exact[k - start] = value;
      sum += value;
    }
    for (let k = 0; k < end - start; k++) {
      const share = sum === 0 ? (exact[k] as number) : (exact[k] as number) / sum;
      // C's cast cuts towards zero.
      weights[i * taps + k] = Math.trunc(share * (1 << fractionBits) + (share < 0 ? -0.5 : 0.5));
    }
    starts[i] = start;
    counts[i] = end - start;
    from = Math.min(from, start);
    to = Math.max(to, end);
  }
  return { starts, counts, weights, taps, from, to };
}

/** An axis whose length stays: Pillow leaves the pass out. */
function copying(first: number, count: number): Axis {
  return {
    starts: Int32Array.from({ length: count }, (_, i) => first + i),
    counts: new Int32Array(count).fill(1),
    weights: new Int32Array(count).fill(1 << fractionBits),
    taps: 1,
    from: first,
    to: first + count,
  };
}

/** Rows of pixels, `step` bytes each, of which the first ones are channels. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly step: number;
}

/** [planes, height, width] */
interface Planes {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  readonly planes: number;
}

/**
 * Resizes a picture to `frame.width` x `frame.height` and cuts size x size out at `frame.left`, `frame.top`.
 * @param planes - how many bytes of a pixel are channels
 * @param out - [planes, size, size], which is written
 */
export function resampleInto(
  out: Uint8Array,
  pixels: Pixels,
  planes: 1 | 3,
  frame: Frame,
  size: number,
  interpolation: Interpolation,
): void {
  const filter = filters[interpolation];
  const { width, height } = pixels;
  const axis = (inputs: number, outputs: number, first: number): Axis =>
    inputs === outputs ? copying(first, size) : axisOf(inputs, outputs, first, size, filter);
  const columns = axis(width, frame.width, frame.left);
  const rows = axis(height, frame.height, frame.top);
  // Pillow 13 begins with the columns where that is less work, earlier ones never did: in pictures more than
  // about twice as high as wide, the two differ by the rounding in between.
  const shrunk = height - frame.height;
  if (shrunk > 0 && shrunk > 2 * (width - frame.width)) {
    const stacked = alongColumns(spread(pixels, planes, columns, rows), rows);
    const lines = { ...stacked, height: planes * size, step: 1 };
    out.set(alongRows(lines, 1, columns, columns.from).data);
    return;
  }
  const { from, to } = rows;
  const data = pixels.data.subarray(from * width * pixels.step);
  out.set(
    alongColumns(alongRows({ ...pixels, data, height: to - from }, planes, columns, 0), rows).data,
  );
}

/** The part of a picture that two axes need. */
function spread({ data, width, step }: Pixels, planes: number, columns: Axis, rows: Axis): Planes {
  const [across, down] = [columns.to - columns.from, rows.to - rows.from];
  const out = new Uint8ClampedArray(planes * down * across);
  let to = 0;
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < down; y++) {
      let at = ((rows.from + y) * width + columns.from) * step + plane;
      for (let x = 0; x < across; x++, at += step) out[to++] = data[at] as number;
    }
  }
  return { data: out, width: across, height: down, planes };
}

/**
 * The pass along the rows; the array that it writes clips to bytes.
 * @param offset - input column of the first pixel of a row
 */
function alongRows(
  { data, width, height, step }: Pixels,
  planes: 1 | 3,
  { starts, counts, weights, taps }: Axis,
  offset: number,
): Planes {
  const columns = starts.length;
  const plane = height * columns;
  const out = new Uint8ClampedArray(planes * plane);
  for (let y = 0; y < height; y++) {
    const line = y * width - offset;
    for (let x = 0; x < columns; x++) {
      let at = (line + (starts[x] as number)) * step;
      const first = x * taps;
      const end = first + (counts[x] as number);
      const to = y * columns + x;
      if (planes === 1) {
        let sum = half;
        for (let k = first; k < end; k++, at += step) {
          sum = (sum + Math.imul(data[at] as number, weights[k] as number)) | 0;
        }
        out[to] = sum >> fractionBits;
        continue;
      }
      let red = half;
      let green = half;
      let blue = half;
      for (let k = first; k < end; k++, at += step) {
        const weight = weights[k] as number;
        red = (red + Math.imul(data[at] as number, weight)) | 0;
        green = (green + Math.imul(data[at + 1] as number, weight)) | 0;
        blue = (blue + Math.imul(data[at + 2] as number, weight)) | 0;
      }
      out[to] = red >> fractionBits;
      out[to + plane] = green >> fractionBits;
      out[to + 2 * plane] = blue >> fractionBits;
    }
  }
  return { data: out, width: columns, height, planes };
}

/** The pass along the columns. @param input - whose first row is the axis' input `from` */
function alongColumns(
  { data, width, height, planes }: Planes,
  { starts, counts, weights, taps, from }: Axis,
): Planes {
  const rows = starts.length;
  const out = new Uint8ClampedArray(planes * rows * width);
  const sums = new Int32Array(width);
  let to = 0;
  for (let plane = 0; plane < planes; plane++) {
    for (let y = 0; y < rows; y++) {
      sums.fill(half);
      let at = (plane * height + (starts[y] as number) - from) * width;
      const first = y * taps;
      const end = first + (counts[y] as number);
      for (let k = first; k < end; k++) {
        const weight = weights[k] as number;
        for (let x = 0; x < width; x++, at++) {
          sums[x] = ((sums[x] as number) + Math.imul(data[at] as number, weight)) | 0;
        }
      }
      for (let x = 0; x < width; x++) out[to++] = (sums[x] as number) >> fractionBits;
    }
  }
  return { data: out, width, height: rows, planes };
}
