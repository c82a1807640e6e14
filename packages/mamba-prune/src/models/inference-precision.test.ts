// Models whose blocks multiply in low precision on a CPU, beside the same in float32.
import { describe, expect, it } from 'vitest';
import {
  type Tensor,
  getNumThreads,
  manualSeed,
  noGrad,
  profileOperators,
  randn,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { productsMissing } from '@mamba-prune/libtorch/kernels';
import type { InferencePrecision } from '../precision.js';
import type { ImageModel } from './image-model.js';
import { inferencePrecisionOn, prepareInference } from './inference-precision.js';
import { createModel } from './registry.js';
import { relativeDifference } from './testing/parity.js';

const size = { channels: 3, imageSize: 16, numClasses: 10 };
const families: Readonly<Record<string, () => ImageModel>> = {
  mamba: () => createModel('mamba_nano', { ...size, patchSize: 4 }),
  'mamba in four directions by turns': () =>
    createModel('mamba_nano', { ...size, patchSize: 4, scan: 'cross' }),
  vim: () => createModel('vim_nano', size),
  vit: () => createModel('vit_tiny', { ...size, patchSize: 4, depth: 2 }),
};

/** Odd widths, which no lane, tile or panel divides. */
function pruned(model: ImageModel): ImageModel {
  const groups = model.pruningGroups();
  const widths = groups.map(({ name, size: of }) => [name, Math.ceil(of * 0.37)] as const);
  return model.withWidths(Object.fromEntries(widths));
}

const images = (count: number): Tensor => randn([count, 3, 16, 16]);
const logitsOf = (model: ImageModel, x: Tensor): Tensor => noGrad(() => model.forward(x));

function within<T>(model: ImageModel, precision: 'bf16' | 'int8', work: () => T): T {
  const prepared = prepareInference(model.eval(), 'cpu', precision);
  try {
    expect(prepared.images).toBe('float32');
    return prepared.run(work);
  } finally {
    prepared.dispose();
  }
}

/**
 * An operand is rounded by up to 2^-8 of itself in bf16 and by half a step, 2^-8 or 2^-9 of the largest of its row, in int8.
 * These errors are independent, so over a row they partly cancel, and blocks add up: some 1% in bf16, a few in int8. A wrong
 * matrix, bias or column differs by 100%.
 */
const bounds = { bf16: 0.02, int8: 0.08 } as const;

for (const precision of ['bf16', 'int8'] as const) {
  const missing = productsMissing(precision);
  const skipped = missing === undefined ? '' : ` (skipped: ${missing})`;
  describe.skipIf(missing !== undefined)(`in ${precision}${skipped}`, () => {
    describe.each(Object.entries(families))('a %s', (_name, create) => {
      it.each([1, 3, 5])('has nearly the logits of float32 for %i images', (count) => {
        scope(() => {
          manualSeed(count);
          for (const model of [create(), pruned(create())]) {
            const x = images(count);
            const exact = logitsOf(model.eval(), x);
            const low = within(model, precision, () => logitsOf(model, x));
            expect(relativeDifference(low, exact)).toBeLessThan(bounds[precision]);
            // Else this compared nothing.
            expect(low.equal(exact)).toBe(false);
            expect(logitsOf(model, x).equal(exact), 'float32 again').toBe(true);
          }
        });
      });

      it('multiplies its patches in bfloat16 within a task alone', () => {
        scope(() => {
          const model = create();
          const x = images(2);
          const names = (work: () => void): string[] =>
            profileOperators(work).operators.map(({ name }) => name);
          const low = within(model, precision, () => names(() => logitsOf(model, x)));
          const exact = names(() => logitsOf(model.eval(), x));
          const patches = 'mamba_prune::low_patches';
          expect([low.includes(patches), low.some((name) => name.includes('conv2d'))]).toEqual(
            productsMissing('bf16') === undefined ? [true, false] : [false, true],
          );
          expect(exact).not.toContain(patches);
        });
      });

      it('gives the same bits for any number of threads', () => {
        const threads = getNumThreads();
        try {
          scope(() => {
            manualSeed(4);
            const model = create();
            const x = images(4);
            within(model, precision, () => {
              setNumThreads(1);
              const alone = logitsOf(model, x);
              for (const count of [2, 3, 5]) {
                setNumThreads(count);
                expect(logitsOf(model, x).equal(alone), `${count} threads`).toBe(true);
              }
            });
          });
        } finally {
          setNumThreads(threads);
        }
      });

      it('computes in it within a task alone, whoever else has prepared the model', () => {
        scope(() => {
          manualSeed(6);
          const model = create().eval();
          const x = images(2);
          const exact = logitsOf(model, x);
          const right = within(model, precision, () => logitsOf(model, x));
          const other = prepareInference(model, 'cpu', 'fp32');
          const prepared = prepareInference(model, 'cpu', precision);
          expect(logitsOf(model, x).equal(exact), 'of nobody').toBe(true);
          expect(other.run(() => logitsOf(model, x)).equal(exact), 'in float32').toBe(true);
          expect(prepared.run(() => logitsOf(model, x)).equal(right)).toBe(true);
          other.dispose();
          prepared.dispose();
        });
      });

      it('sees that a weight has changed', () => {
        scope(() => {
          manualSeed(5);
          const [model, other] = [create(), create()];
          const x = images(2);
          const right = within(other, precision, () => logitsOf(other, x));
          within(model, precision, () => {
            expect(logitsOf(model, x).equal(right)).toBe(false);
            model.loadStateDict(other.stateDict());
            expect(logitsOf(model, x).equal(right)).toBe(true);
          });
        });
      });
    });
  });
}

describe('prepareInference', () => {
  const refused = (model: ImageModel, precision: 'bf16' | 'int8') => () =>
    prepareInference(model, 'cpu', precision, 'resnet20');

  it('leaves bf16 of other models to activations of 16 bits', () => {
    scope(() => {
      const model = createModel('resnet20', { ...size, blocks: [1, 1] });
      const prepared = prepareInference(model, 'cpu', 'bf16');
      expect(prepared.images).toBe('bfloat16');
      prepared.dispose();
    });
  });

  it.skipIf(productsMissing('int8') !== undefined)(
    'refuses int8 of models without such products',
    () => {
      scope(() => {
        const models = [
          createModel('resnet20', { ...size, blocks: [1, 1] }),
          createModel('mamba_nano', { ...size, patchSize: 4, scan: 'bi' }),
        ];
        for (const model of models) {
          expect(refused(model, 'int8')).toThrow(
            /^precision: got int8, but resnet20 has no products in it: .* Take fp32/,
          );
        }
      });
    },
  );
});

describe('inferencePrecisionOn', () => {
  it('knows int8 on a CPU only', () => {
    expect(inferencePrecisionOn('cpu')).toBe('fp32');
    expect(inferencePrecisionOn('cpu', 'int8')).toBe('int8');
    expect(inferencePrecisionOn('cuda:0', 'bf16')).toBe('bf16');
    expect(() => inferencePrecisionOn('cuda:0', 'int8')).toThrow(
      'precision: got int8 on cuda:0, but only a CPU computes in it',
    );
    expect(() => inferencePrecisionOn('cpu', 'int4' as InferencePrecision)).toThrow(
      "precision: got 'int4', expected one of auto, fp32, bf16, int8.",
    );
  });
});
