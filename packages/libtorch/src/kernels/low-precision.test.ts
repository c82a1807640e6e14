// Products in low precision against float64 (bf16) and against the same integers in JavaScript (int8).
import { describe, expect, it } from 'vitest';
import {
  F,
  type Tensor,
  fromTypedArray,
  getNumThreads,
  manualSeed,
  noGrad,
  ones,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
import {
  type ProductPrecision,
  lowLinear,
  packProduct,
  productKernels,
  productsMissing,
} from './low-precision.js';

/** [rows, out, in]: depths that fill no lane, no row of a tile; one column, a half and a whole panel and more. */
const sizes = [
  [1, 1, 1],
  [3, 5, 7],
  [12, 16, 4],
  [13, 33, 65],
  [25, 48, 115],
  [2, 230, 770],
  [64, 44, 384],
] as const;

const numbers = (tensor: Tensor): number[] => tensor.reshape(tensor.numel).toNumbers();

/** A suite for processors that have the products; elsewhere its name says what is missing. */
function suite(precision: ProductPrecision, tests: () => void): void {
  const missing = productsMissing(precision);
  const name = missing === undefined ? precision : `${precision} (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(name, tests);
}

suite('bf16', () => {
  it('rounds each operand to bfloat16 and nothing else, up to sums of float32', () => {
    for (const [rows, out, depth] of sizes) {
      scope(() => {
        manualSeed(rows + out + depth);
        const [x, weight] = [randn([rows, depth]), randn([out, depth])];
        const [a, b] = [x, weight].map((t) => t.to('bfloat16').to('float64')) as [Tensor, Tensor];
        const got = lowLinear(x, packProduct(weight, 'bf16'));
        const error = got.to('float64').sub(a.matmul(b.t())).abs();
        // Products of two bfloat16 are exact in float32; each of `depth` sums rounds by 2^-24 of what has come
        // together, and the instruction may round two products a step.
        const bound = a
          .abs()
          .matmul(b.abs().t())
          .mul((depth + 1) * 2 ** -23);
        expect(Math.max(...numbers(error.sub(bound))), `${rows} x ${out} x ${depth}`).toBeLessThan(
          2 ** -100,
        );
        // A bfloat16 has 8 bits, so an operand is at most 2^-8 from its float32, and a product 2^-7 and a little.
        const exact = x.to('float64').matmul(weight.to('float64').t());
        const sizesOf = x.abs().to('float64').matmul(weight.abs().to('float64').t());
        const off = got
          .to('float64')
          .sub(exact)
          .abs()
          .sub(sizesOf.mul(2.02 * 2 ** -8));
        expect(Math.max(...numbers(off))).toBeLessThan(2 ** -100);
      });
    }
  });

  it('says NaN and infinity where an operand is one, and in no other row or column', () => {
    scope(() => {
      const x = zeros([3, 40]).add(1);
      const weight = zeros([34, 40]).add(1);
      x.select(0, 1).select(0, 39).fill_(NaN);
      weight.select(0, 33).select(0, 0).fill_(Infinity);
      const rows = lowLinear(x, packProduct(weight, 'bf16'));
      expect(numbers(rows.select(0, 0)).slice(31)).toEqual([40, 40, Infinity]);
      expect(numbers(rows.select(0, 1)).every(Number.isNaN)).toBe(true);
      expect(numbers(rows.select(0, 2)).slice(31)).toEqual([40, 40, Infinity]);
    });
  });
});

const { fround } = Math;

/** Nearest, even on a tie, as the processor rounds. */
function nearest(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

interface Integers {
  readonly values: readonly number[];
  readonly scale: number;
  readonly zero: number;
}

/** 0 to 255 over the range of the row and 0. */
function ofToken(row: readonly number[]): Integers {
  const low = Math.min(0, ...row);
  const range = fround(Math.max(0, ...row) - low);
  const inverse = range > 1e-30 ? fround(255 / range) : 0;
  const zero = nearest(fround(-low * inverse));
  // Multiplied and added with one rounding.
  const values = row.map((x) => Math.min(255, Math.max(0, nearest(fround(x * inverse + zero)))));
  return { values, scale: fround(range * fround(1 / 255)), zero };
}

/** -127 to 127 over the largest of the row. */
function ofColumn(row: readonly number[]): Integers {
  const most = Math.max(...row.map(Math.abs));
  const inverse = most > 1e-30 ? fround(127 / most) : 0;
  return {
    values: row.map((w) => nearest(fround(w * inverse))),
    scale: fround(most / 127),
    zero: 0,
  };
}

const rowsOf = (t: Tensor): number[][] =>
  Array.from({ length: t.size(0) }, (_, i) => numbers(t.select(0, i)));

function reference(x: Tensor, weight: Tensor): number[] {
  const columns = rowsOf(weight).map(ofColumn);
  return rowsOf(x).flatMap((row) => {
    const token = ofToken(row);
    return columns.map(({ values, scale }) => {
      const sum = values.reduce(
        (total, w, k) => total + w * ((token.values[k] ?? 0) - token.zero),
        0,
      );
      return fround(fround(sum) * fround(scale * token.scale));
    });
  });
}

suite('int8', () => {
  it('computes with the same integers, exactly', () => {
    for (const [rows, out, depth] of sizes) {
      scope(() => {
        manualSeed(rows + out + depth);
        const [x, weight] = [randn([rows, depth]), randn([out, depth])];
        // One row as GELU leaves it: nearly all of one sign.
        x.select(0, 0).copy_(F.gelu(x.select(0, 0).mul(3)));
        expect(numbers(lowLinear(x, packProduct(weight, 'int8')))).toEqual(reference(x, weight));
      });
    }
  });

  it('comes as near as half a step of each operand allows', () => {
    scope(() => {
      manualSeed(7);
      const [x, weight] = [randn([33, 384]), randn([192, 384])];
      const got = lowLinear(x, packProduct(weight, 'int8')).to('float64');
      const error = numbers(got.sub(x.to('float64').matmul(weight.to('float64').t())).abs());
      const [rows, columns] = [rowsOf(x), rowsOf(weight)];
      const sum = (values: readonly number[]) => values.reduce((a, b) => a + Math.abs(b), 0);
      error.forEach((value, i) => {
        const [row, column] = [rows[Math.floor(i / 192)] ?? [], columns[i % 192] ?? []];
        const [a, w] = [ofToken(row).scale, ofColumn(column).scale];
        // |x| dw + |w| dx + dx dw, where a token's step and zero are both rounded: dx is up to one step.
        const bound = sum(row) * (w / 2) + sum(column) * a + 384 * a * (w / 2);
        expect(value).toBeLessThan(bound);
      });
    });
  });

  it('keeps zeros, tiny and large numbers, and shows what is no number', () => {
    scope(() => {
      const weight = ones([33, 5]);
      const packed = packProduct(weight, 'int8');
      expect(numbers(lowLinear(zeros([2, 5]), packed)).every((y) => y === 0)).toBe(true);
      expect(
        numbers(lowLinear(zeros([1, 5]).add(1e-38), packed)).every((y) => Math.abs(y) < 1e-30),
      ).toBe(true);
      const x = ones([3, 5]).mul(1e30);
      x.select(0, 1).select(0, 4).fill_(Infinity);
      const rows = rowsOf(lowLinear(x, packed));
      // One step of 255 for x and one of 127 for the weights, both hit exactly: the rounding of two scales is left.
      for (const row of [rows[0], rows[2]]) {
        expect((row ?? []).every((y) => Math.abs(y / 5e30 - 1) < 2 ** -21)).toBe(true);
      }
      expect(rows[1]?.every(Number.isNaN)).toBe(true);
      weight.select(0, 32).select(0, 2).fill_(NaN);
      const column = numbers(lowLinear(ones([1, 5]), packProduct(weight, 'int8')));
      expect(column.map(Number.isNaN)).toEqual([...Array<boolean>(32).fill(false), true]);
    });
  });
});

for (const precision of ['bf16', 'int8'] as const) {
  suite(precision, () => {
    it('adds bias and residual, then applies GELU', () => {
      scope(() => {
        manualSeed(3);
        const [x, weight, bias] = [randn([2, 9, 50]), randn([70, 50]), randn([70])];
        const residual = randn([2, 9, 70]);
        const packed = packProduct(weight, precision);
        const plain = lowLinear(x, packed);
        const added = plain.add(bias).add(residual);
        const close = (a: Tensor, b: Tensor) => Math.max(...numbers(a.sub(b).abs()));
        // Sums of some tens in float32, in another order.
        expect(close(lowLinear(x, packed, { bias, residual }), added)).toBeLessThan(1e-5);
        const activated = lowLinear(x, packed, { bias, residual, gelu: true });
        // The polynomial is at most 8e-5 from the exact GELU; what it is given differs by the 1e-5 above.
        expect(close(activated, F.gelu(added))).toBeLessThan(1e-4);
        expect(activated.shape).toEqual([2, 9, 70]);
      });
    });

    it('has a GELU that ends where the exact one does', () => {
      scope(() => {
        const x = fromTypedArray(Float32Array.from([-300, -20, -4.25, 0, 4.25, 20, 300]), [7, 1]);
        // Rounded to what x and the weight of 1 are multiplied in.
        const plain = lowLinear(x, packProduct(ones([1, 1]), precision));
        const got = numbers(lowLinear(x, packProduct(ones([1, 1]), precision), { gelu: true }));
        // 8e-5, and the rounding of what is left at 300.
        numbers(F.gelu(plain)).forEach((exact, i) => {
          expect(Math.abs((got[i] ?? NaN) - exact)).toBeLessThan(1e-4);
        });
      });
    });

    it('gives the same bits for any number of threads and rows', () => {
      const threads = getNumThreads();
      try {
        scope(() => {
          manualSeed(5);
          const [x, packed] = [randn([210, 131]), packProduct(randn([300, 131]), precision)];
          setNumThreads(1);
          const alone = numbers(lowLinear(x, packed, { gelu: true }));
          setNumThreads(2);
          expect(numbers(lowLinear(x, packed, { gelu: true }))).toEqual(alone);
          const row = numbers(lowLinear(x.narrow(0, 209, 1), packed, { gelu: true }));
          expect(row).toEqual(alone.slice(209 * 300));
        });
      } finally {
        setNumThreads(threads);
      }
    });

    it('refuses gradients, other tensors and shapes that do not fit', () => {
      scope(() => {
        const [x, weight] = [randn([2, 6]), randn([3, 6])];
        const packed = packProduct(weight, precision);
        expect(() => lowLinear(x, weight)).toThrow(/expected a matrix that pack_low made/);
        const bytes = fromTypedArray(new Uint8Array(packed.numel), [packed.numel]);
        expect(() => lowLinear(x, bytes)).toThrow(/expected a matrix that pack_low made/);
        expect(() => lowLinear(x, packed.narrow(0, 0, 128))).toThrow(/that pack_low made/);
        expect(() => lowLinear(randn([2, 5]), packed)).toThrow(/got weight \[3, 6\].*\[3, 5\]/);
        expect(() => lowLinear(x, packed, { bias: randn([4]) })).toThrow(/bias of shape \[4\]/);
        expect(() => packProduct(randn([2, 2, 2]), precision)).toThrow(/got 3 dimensions/);
        for (const nothing of [zeros([0, 4]), zeros([4, 0])])
          expect(() => packProduct(nothing, precision)).toThrow(/at least one row and column/);
        expect(() => packProduct(weight, 'int4' as 'int8')).toThrow(/expected bf16 or int8/);
        x.requiresGrad = true;
        expect(() => lowLinear(x, packed)).toThrow(/got tensors that require gradients/);
        expect(noGrad(() => lowLinear(x, packed)).shape).toEqual([2, 3]);
      });
    });

    it('names its instructions', () => {
      expect(productKernels(precision)).toMatch(/^(avx512_|amx_)/);
    });
  });
}
