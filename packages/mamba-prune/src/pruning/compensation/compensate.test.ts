import { type Tensor, getRngState, noGrad, scope, tensor } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { TwoLayer, setWeight, smallMamba, randomImages } from '../testing/models.js';
import { chooseUnits } from '../select-units.js';
import { pruneModel } from '../surgery.js';
import { type Compensation, compensate } from './compensate.js';
import type { CalibrationImages } from './held-out.js';

/** Images of two positive pixels. */
const values = Array.from({ length: 20 }, (_, i) => [1 + ((i * 7) % 5), 1 + ((i * 3) % 4)]).flat();
const pixels = (dtype: 'float32' | 'float64'): Tensor =>
  tensor(values, { dtype }).reshape(20, 2, 1, 1);

/** Without labels, in batches of 8, 8 and 4. */
const batchesOf = (images: Tensor): CalibrationImages =>
  async function* () {
    for (const [from, size] of [
      [0, 8],
      [8, 8],
      [16, 4],
    ] as const) {
      await Promise.resolve();
      yield { images: scope(() => images.narrow(0, from, size).clone()) };
    }
  };

/** Units relu(p), relu(q) and relu(p + q): the last is the sum of the others, for these pixels. */
function summing(): TwoLayer {
  const model = new TwoLayer({ units: 3 });
  setWeight(model, 'fc1.weight', [1, 0, 0, 1, 1, 1]);
  setWeight(model, 'fc1.bias', [0, 0, 0]);
  setWeight(model, 'fc2.weight', [1, 2, 3, -1, 0.5, 4]);
  model.to('float64').eval();
  return model;
}

const logits = (model: ImageModel, images: Tensor): number[] =>
  noGrad(() => model.forward(images)).toNumbers();

const firstTwo = new Map([['hidden', [0, 1]]]);

describe('compensation', () => {
  it.each(['asymmetric', 'stream', 'fold'] as const)(
    'leaves the output as it was where a removed unit is a combination of kept ones: %s',
    async (target) => {
      const model = summing();
      const cut = pruneModel(model, firstTwo).to('float64').eval();
      const images = pixels('float64');
      // Far below the pixels' squares, and above float64's rounding of them.
      const made = await compensate(model, cut, firstTwo, batchesOf(images), {
        target,
        ridges: [1e-13],
      });
      const dense = logits(model, images);
      logits(cut, images).forEach((logit, i) => {
        expect(Math.abs(logit - (dense[i] as number))).toBeLessThan(1e-10);
      });
      expect(made).toMatchObject({ target, images: 20, heldOut: 4 });
      expect(made.groups).toMatchObject([{ group: 'hidden', ridge: 1e-13, damping: 1 }]);
      expect(made.groups[0]?.error.after).toBeLessThan(1e-20);
      expect(made.divergence.before).toBeGreaterThan(1e-3);
      expect(made.divergence.after).toBeLessThan(1e-10);
    },
  );

  it('writes the ridge regression that is computed by hand', async () => {
    const model = summing();
    const cut = pruneModel(model, firstTwo).to('float64').eval();
    // 16 images are fitted, four of each of these: xᵀx = 4 [2 1; 1 2], t = 3 (p + q) and 4 (p + q).
    const fitted = [1, 0, 0, 1, 1, 1, 0, 0];
    const images = tensor([...fitted, 1, 1], { dtype: 'float64' })
      .reshape(5, 2)
      .repeat(4, 1)
      .reshape(20, 2, 1, 1);
    await compensate(model, cut, firstTwo, batchesOf(images), { judge: 'error', ridges: [0.5] });
    // λ = 0.5 · 8 = 4: 4 [3 1; 1 3] M = 4 (3, 3) s, so M = 3/4 s for both, with s = 3 and s = 4.
    const expected = [1 + 9 / 4, 2 + 9 / 4, -1 + 3, 0.5 + 3];
    const weight = cut.stateDict().get('fc2.weight')?.toNumbers() ?? [];
    expect(weight).toHaveLength(expected.length);
    expected.forEach((value, i) => {
      expect(weight[i]).toBeCloseTo(value, 12);
    });
  });

  it('makes no correction that is worse on images held out', async () => {
    // relu(p + 10), relu(q) and relu(p), which goes. For p of -9, held out, nothing is lost; elsewhere p is.
    const model = summing();
    setWeight(model, 'fc1.weight', [1, 0, 0, 1, 1, 0]);
    setWeight(model, 'fc1.bias', [10, 0, 0]);
    const images = tensor([5, 0, 4, 0, 3, 0, 2, 0, -9, 1], { dtype: 'float64' })
      .reshape(5, 2)
      .repeat(4, 1)
      .reshape(20, 2, 1, 1);
    const cut = pruneModel(model, firstTwo).to('float64').eval();
    const before = cut.stateDict().get('fc2.weight')?.toNumbers();
    const { groups } = await compensate(model, cut, firstTwo, batchesOf(images), {
      judge: 'error',
    });
    expect(groups).toMatchObject([{ ridge: null, damping: 0 }]);
    expect(cut.stateDict().get('fc2.weight')?.toNumbers()).toEqual(before);
  });

  it('needs some images, and units of the cut model', async () => {
    const model = summing();
    const cut = pruneModel(model, firstTwo).to('float64').eval();
    const few: CalibrationImages = async function* () {
      await Promise.resolve();
      yield { images: scope(() => pixels('float64').narrow(0, 0, 9).clone()) };
    };
    await expect(compensate(model, cut, firstTwo, few)).rejects.toThrow(
      new UsageError(
        'compensate: got 9 images, expected at least 10: most are fitted, and the others say whether that was of use. Give more images.',
      ),
    );
    const images = batchesOf(pixels('float64'));
    const three = new Map([['hidden', [0, 1, 2]]]);
    await expect(compensate(model, cut, three, images)).rejects.toThrow(
      /got 3 kept units of group 'hidden', of which the cut model has 2/,
    );
    await expect(compensate(model, cut, firstTwo, images, { ridges: [0] })).rejects.toThrow(
      /ridge: got 0, expected a number above 0/,
    );
    await expect(
      compensate(model, cut, firstTwo, images, { target: 'streem' as 'stream' }),
    ).rejects.toThrow(/target: got 'streem', expected one of stream, asymmetric, fold/);
  });
});

describe('a compensated model', () => {
  let model: ImageModel;

  beforeAll(() => {
    model = smallMamba();
  });

  afterAll(() => {
    model.dispose();
  });

  it('has the same bits each time, and leaves everything else as it was', async () => {
    const rates = { ssm: 0.5, mlp: 0.5 };
    const kept = await chooseUnits(model, { rates, importance: 'l1', ranking: 'layer' });
    const images = randomImages(model, [8, 8, 4]);
    const before = Array.from(model.stateDict().values(), (value) => value.toNumbers());
    model.train();
    const made: { compensation: Compensation; state: number[][] }[] = [];
    for (let time = 0; time < 2; time++) {
      const cut = pruneModel(model, kept);
      const random = Array.from(getRngState('cpu'));
      const compensation = await compensate(model, cut, kept, images);
      expect(Array.from(getRngState('cpu'))).toEqual(random);
      expect(cut.training).toBe(true);
      const state = Array.from(cut.stateDict().values(), (value) => value.toNumbers());
      made.push({ compensation, state });
      cut.dispose();
    }
    expect(made[1]).toEqual(made[0]);
    expect(made[0]?.compensation.groups.some(({ damping }) => damping > 0)).toBe(true);
    expect(model.training).toBe(true);
    expect(Array.from(model.stateDict().values(), (value) => value.toNumbers())).toEqual(before);
    model.eval();
  });
});
