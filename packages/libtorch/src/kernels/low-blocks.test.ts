// Whole blocks with their matrices in low precision, beside the same blocks in float32.
import { describe, expect, it } from 'vitest';
import {
  type Tensor,
  getNumThreads,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
import {
  type MambaBlockWeights,
  type VitBlockWeights,
  mambaBlock,
  vitBlock,
} from './inference-blocks.js';
import { type ProductPrecision, packProduct, productsMissing } from './low-precision.js';
import { type BlockCase, blockCases, blockInputs } from './testing/compare-block.js';
import { type VitCase, vitCases, vitInputs } from './testing/compare-inference.js';
import { type VimBlockWeights, vimBlock } from './vim-block.js';

/** A block, in float32 and with its matrices packed. */
interface Block {
  readonly name: string;
  readonly x: Tensor;
  readonly exact: (x: Tensor) => Tensor;
  readonly low: (x: Tensor) => Tensor;
}

function inPrecision<W extends object>(weights: W, precision: ProductPrecision, of: string[]): W {
  return Object.fromEntries(
    Object.entries(weights).map(([name, tensor]) => [
      name,
      of.includes(name) ? packProduct(tensor as Tensor, precision) : tensor,
    ]),
  ) as W;
}

function mamba(test: BlockCase, precision: ProductPrecision): Block {
  const { x, weights } = blockInputs(test);
  const matrices = ['inProj', 'xProj', 'outProj', 'fc1Weight', 'fc2Weight'];
  const packed: MambaBlockWeights = inPrecision(weights, precision, matrices);
  return {
    name: `mambaBlock ${JSON.stringify(test)}`,
    x,
    exact: (of) => mambaBlock(of, weights, 1e-5),
    low: (of) => mambaBlock(of, packed, 1e-5),
  };
}

/** One direction of a Vim's block, in the order of `VimBlockWeights.scans`. */
function scanOf(w: MambaBlockWeights, xProj = w.xProj): Tensor[] {
  return [w.convWeight, w.convBias, xProj, w.dtWeight, w.dtBias, w.aLog, w.d];
}

function vim(test: BlockCase, precision: ProductPrecision, directions: number): Block {
  const all = Array.from({ length: directions }, () => blockInputs(test).weights);
  const { x, weights: w } = blockInputs(test);
  const of = (change: (matrix: Tensor) => Tensor): VimBlockWeights => ({
    norm: w.norm1Weight,
    inProj: change(w.inProj),
    scans: all.flatMap((direction) => scanOf(direction, change(direction.xProj))),
    outProj: change(w.outProj),
  });
  const [weights, packed] = [of((t) => t), of((t) => packProduct(t, precision))];
  return {
    name: `vimBlock ${directions} ${JSON.stringify(test)}`,
    x,
    exact: (input) => vimBlock(input, weights, 1e-5),
    low: (input) => vimBlock(input, packed, 1e-5),
  };
}

function vit(test: VitCase, precision: ProductPrecision): Block {
  const { x, weights, sizes } = vitInputs(test);
  const pack = (t: Tensor): Tensor => packProduct(t, precision);
  const { qkv, proj, fc1, fc2 } = weights.matrices;
  const packed: VitBlockWeights = {
    ...weights,
    qkv: pack(qkv),
    proj: pack(proj),
    fc1: pack(fc1),
    fc2: pack(fc2),
  };
  return {
    name: `vitBlock ${JSON.stringify(test)}`,
    x,
    exact: (of) => vitBlock(of, weights, sizes),
    low: (of) => vitBlock(of, packed, sizes),
  };
}

/**
 * Beside the cases of float32: rows that fill no group of the convolution (8), no tile (12, 32) and no chunk of the scan
 * (16); fewer rows than taps; inner widths around a register (16) and a tile of channels (32).
 */
const wide: readonly BlockCase[] = [
  { batch: 3, length: 3, model: 40, inner: 16, states: 16, rank: 17, taps: 4, hidden: 48 },
  { batch: 2, length: 9, model: 64, inner: 32, states: 16, rank: 4, taps: 2, hidden: 64 },
  { batch: 1, length: 40, model: 48, inner: 63, states: 16, rank: 3, taps: 4, hidden: 80 },
  { batch: 4, length: 65, model: 32, inner: 97, states: 4, rank: 2, taps: 3, hidden: 33 },
];
/** More keys than a panel, and a last panel that one register covers; odd and large heads; several groups of queries. */
const heads: readonly VitCase[] = [
  { batch: 1, length: 197, model: 64, heads: 1, headDim: 64, hidden: 96 },
  { batch: 3, length: 49, model: 48, heads: 2, headDim: 33, hidden: 40 },
  { batch: 2, length: 33, model: 40, heads: 3, headDim: 9, hidden: 17 },
];

const blocksOf = (precision: ProductPrecision): Block[] => [
  ...[...blockCases.slice(1), ...wide].flatMap((test) => [
    mamba(test, precision),
    vim(test, precision, 1),
    vim(test, precision, 2),
  ]),
  ...[...vitCases.slice(1), ...heads].map((test) => vit(test, precision)),
];

/** Root of the mean square of what a block adds to x, of the difference over that of float32. */
function errorOf(low: Tensor, exact: Tensor, x: Tensor): number {
  const size = (t: Tensor): number => Math.sqrt(t.to('float64').square().sum().item());
  return size(low.sub(exact)) / size(exact.sub(x));
}

/**
 * Each operand is off by up to 2^-9 of itself in bf16 and by up to half a step, 2^-8 or 2^-9 of the largest of its row, in
 * int8; a result has passed some ten of these roundings, which partly cancel: one percent, and three. A wrong row, column
 * or direction is off by 100%.
 */
const bounds = { bf16: 0.02, int8: 0.06 } as const;

for (const precision of ['bf16', 'int8'] as const) {
  const missing = productsMissing(precision);
  const skipped = missing === undefined ? '' : ` (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(`blocks in ${precision}${skipped}`, () => {
    it('are near float32, and the same for any number of threads', () => {
      const threads = getNumThreads();
      try {
        scope(() => {
          noGrad(() => {
            manualSeed(21);
            for (const { name, x, exact, low } of blocksOf(precision)) {
              const [one, ...others] = [1, 2, 3].map((count) => {
                setNumThreads(count);
                return low(x);
              }) as [Tensor, ...Tensor[]];
              for (const other of others) expect(other.equal(one), name).toBe(true);
              expect(errorOf(one, exact(x), x), name).toBeLessThan(bounds[precision]);
            }
          });
        });
      } finally {
        setNumThreads(threads);
      }
    });

    it.skipIf(precision === 'bf16' || productsMissing('bf16') !== undefined)(
      'are as near with x_proj in bf16',
      () => {
        scope(() => {
          noGrad(() => {
            manualSeed(25);
            for (const test of [...blockCases.slice(1), ...wide]) {
              const { x, weights } = blockInputs(test);
              const { norm1Weight: norm, inProj, outProj } = weights;
              const mixed = inPrecision(weights, precision, [
                'inProj',
                'outProj',
                'fc1Weight',
                'fc2Weight',
              ]);
              const narrow = packProduct(weights.xProj, 'bf16');
              const exact = mambaBlock(x, weights, 1e-5);
              const low = mambaBlock(x, { ...mixed, xProj: narrow }, 1e-5);
              expect(errorOf(low, exact, x), JSON.stringify(test)).toBeLessThan(bounds[precision]);
              const scans = [...scanOf(weights), ...scanOf(weights)];
              const both = vimBlock(x, { norm, inProj, outProj, scans }, 1e-5);
              const lowScans = [...scanOf(weights, narrow), ...scanOf(weights, narrow)];
              const lowBoth = vimBlock(
                x,
                { norm, inProj: mixed.inProj, outProj: mixed.outProj, scans: lowScans },
                1e-5,
              );
              expect(errorOf(lowBoth, both, x), JSON.stringify(test)).toBeLessThan(
                bounds[precision],
              );
            }
          });
        });
      },
    );

    it('keep what is no number in its sample, and show it', () => {
      scope(() => {
        noGrad(() => {
          manualSeed(22);
          for (const { name, x, low } of blocksOf(precision).filter((of) => of.x.size(0) > 1)) {
            const right = low(x);
            const spoilt = x.clone();
            spoilt.select(0, 1).select(0, 0).select(0, 0).fill_(NaN);
            const got = low(spoilt);
            expect(got.select(0, 0).equal(right.select(0, 0)), name).toBe(true);
            expect(got.select(0, 1).sum().item(), name).toBeNaN();
          }
        });
      });
    });

    it('are near float32 for step sizes of every magnitude', () => {
      // With steps of 0.001, 0.02 and 0.3 a factor's logarithm reaches from nearly 0 to beyond 4.
      scope(() => {
        noGrad(() => {
          manualSeed(24);
          const test = { ...(wide[2] as BlockCase), batch: 2 };
          for (const shift of [-7, -4, -1]) {
            const { x, weights } = blockInputs(test);
            const shifted = { ...weights, dtBias: weights.dtBias.add(shift) };
            const packed = inPrecision(shifted, precision, ['inProj', 'xProj', 'outProj']);
            const branch = (of: MambaBlockWeights): Tensor => {
              const { norm1Weight: norm, inProj, outProj } = of;
              return vimBlock(
                x,
                { norm, inProj, scans: [...scanOf(of), ...scanOf(of)], outProj },
                1e-5,
              );
            };
            const error = errorOf(branch(packed), branch(shifted), x);
            expect(error, `steps of about e^${shift}`).toBeLessThan(bounds[precision]);
          }
        });
      });
    });

    it('remember for a thousand steps', () => {
      // exp(dt A) is 0.999 here. An exponential that is off by 1e-4 of itself near 1 would forget a tenth of what it should
      // remember; here factors near 1 are off by 0.4% of what is missing to 1.
      const test = { ...(wide[1] as BlockCase), batch: 1, length: 1000, taps: 4 };
      scope(() => {
        noGrad(() => {
          manualSeed(23);
          const { x, weights } = blockInputs(test);
          const slow = {
            ...weights,
            aLog: zeros([test.inner, test.states]).add(-4),
            d: zeros([test.inner]),
          };
          const packed = inPrecision(slow, precision, ['inProj', 'xProj', 'outProj']);
          const branch = (of: MambaBlockWeights, input: Tensor): Tensor => {
            const { norm1Weight: norm, inProj, outProj } = of;
            return vimBlock(input, { norm, inProj, scans: scanOf(of), outProj }, 1e-5);
          };
          // The same input all along, so that what is remembered adds up.
          const steady = x
            .narrow(1, 0, 1)
            .expand(1, test.length, test.model)
            .add(randn([1, test.length, test.model]).mul(0.1));
          expect(errorOf(branch(packed, steady), branch(slow, steady), steady)).toBeLessThan(
            bounds[precision],
          );
        });
      });
    });
  });
}
