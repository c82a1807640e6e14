import { F, noGrad, scope, tensor, type Tensor, zerosLike } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { createModel } from '../../models/registry.js';
import { randomImages, smallMamba, weightOf } from '../testing/models.js';
import { maskModel, pruneModel } from '../surgery.js';
import { scoreUnits } from '../score-units.js';
import {
  type Evaluate,
  type Sensitivity,
  isComplete,
  measureSensitivity,
  pointsDone,
} from './measure.js';
import { unitsForWidths, blockOf, partsOf, widthsAt } from './parts.js';

/** Loss and accuracy against what the model itself says of some images; the number of calls. */
async function against(model: ImageModel): Promise<Evaluate & { calls: number }> {
  let images: Tensor | undefined;
  for await (const batch of randomImages(model, [24])()) images = batch.images;
  const inputs = images as Tensor;
  const labels = scope(() =>
    noGrad(() => tensor(model.forward(inputs).argmax(-1).toNumbers(), { dtype: 'int64' }).keep()),
  );
  const evaluate = (cut: ImageModel) => {
    evaluate.calls++;
    return Promise.resolve(
      scope(() =>
        noGrad(() => {
          cut.eval();
          const logits = cut.forward(inputs);
          const right = logits.argmax(-1).eq(labels).to('float32').mean().item();
          return { loss: F.crossEntropy(logits, labels).item(), accuracy: right };
        }),
      ),
    );
  };
  evaluate.calls = 0;
  return evaluate;
}

/** A model of which one group alone reaches the output. */
function oneThatMatters(): ImageModel {
  const model = smallMamba();
  noGrad(() => {
    for (const name of ['blocks.0.ssm.out_proj', 'blocks.0.mlp.2', 'blocks.1.mlp.2']) {
      const weight = weightOf(model, `${name}.weight`);
      weight.copy_(zerosLike(weight));
    }
    weightOf(model, 'blocks.1.ssm.out_proj.weight').mul_(8);
  });
  return model;
}

const l1 = { importance: 'l1', rates: [0.5, 0.75] } as const;

describe('the sensitivity of a model', () => {
  it('is that of the one group which reaches the output', async () => {
    const model = oneThatMatters();
    const evaluate = await against(model);
    const { dense, parts } = await measureSensitivity(model, { ...l1, evaluate });
    expect(dense.accuracy).toBe(1);
    const lost = Object.fromEntries(
      parts.map(({ name, points }) => [name, points.map(({ loss }) => loss - dense.loss)]),
    );
    // What is multiplied by zeros adds exactly nothing, cut or not.
    expect(lost).toMatchObject({
      'blocks.0.ssm': [0, 0],
      'blocks.0.mlp': [0, 0],
      'blocks.1.mlp': [0, 0],
    });
    expect(Math.min(...(lost['blocks.1.ssm'] ?? []))).toBeGreaterThan(0.01);
    expect(parts.map(({ points }) => points.map(({ kept }) => kept))).toEqual([
      [16, 8],
      [32, 16],
      [16, 8],
      [32, 16],
    ]);
  });

  it.each([
    ['mamba_tiny', { dModel: 16, depth: 1, dState: 4 }, ['ssm', 'state', 'dt_rank', 'mlp']],
    ['vit_tiny', { dModel: 16, depth: 1, heads: 4 }, ['heads', 'mlp']],
    ['resnet20', { baseWidth: 4, blocks: [1, 1, 1] }, ['channels']],
  ])('is what masking says, for %s', async (arch, options, kinds) => {
    const make = () => createModel(arch, { ...options, imageSize: 8, numClasses: 5 });
    const model = make();
    model.eval();
    const evaluate = await against(model);
    const measured = await measureSensitivity(model, {
      evaluate,
      importance: 'l1',
      rates: [0.5],
      kinds,
    });
    const scores = await scoreUnits(model, model.pruningGroups(), { importance: 'l1' });
    expect(measured.parts.map(({ name }) => name)).toEqual(
      model.pruningGroups().map(({ name }) => name),
    );
    for (const { groups, points } of measured.parts) {
      const masked = make();
      masked.loadStateDict(model.stateDict());
      maskModel(masked, unitsForWidths(scores, widthsAt({ groups }, 0.5)));
      const { loss, accuracy } = await evaluate(masked);
      // The same sums in another order, in float32.
      expect(Math.abs((points[0]?.loss ?? NaN) - loss)).toBeLessThan(1e-5);
      expect(points[0]?.accuracy).toBe(accuracy);
      masked.dispose();
    }
  });

  it('leaves the model as it is', async () => {
    const model = smallMamba();
    const before = [...model.stateDict()].map(([name, value]) => [name, value.toNumbers()]);
    await measureSensitivity(model, { ...l1, evaluate: await against(model) });
    expect([...model.stateDict()].map(([name, value]) => [name, value.toNumbers()])).toEqual(
      before,
    );
  });

  it('goes on where it was stopped, and measures nothing twice', async () => {
    const model = smallMamba();
    const whole = await measureSensitivity(model, { ...l1, evaluate: await against(model) });
    const evaluate = await against(model);
    let asked = 0;
    const known = await measureSensitivity(model, {
      ...l1,
      evaluate,
      isOver: () => ++asked > 4,
    });
    expect([isComplete(known), pointsDone(known), evaluate.calls]).toEqual([false, 3, 4]);
    const rest = await measureSensitivity(model, { ...l1, evaluate, known });
    expect(rest).toEqual(whole);
    expect(evaluate.calls).toBe(9);
  });

  it('cuts by the way that it is given', async () => {
    const model = smallMamba();
    const seen: string[][] = [];
    const options = { ...l1, rates: [0.5], by: 'block', evaluate: await against(model) } as const;
    const { parts } = await measureSensitivity(model, {
      ...options,
      cut: (whole, kept) => {
        seen.push([...kept.keys()]);
        return pruneModel(whole, kept);
      },
    });
    expect(seen).toEqual([
      ['blocks.0.ssm', 'blocks.0.mlp'],
      ['blocks.1.ssm', 'blocks.1.mlp'],
    ]);
    expect(parts.map(({ name, kinds }) => [name, kinds])).toEqual([
      ['blocks.0', ['ssm', 'mlp']],
      ['blocks.1', ['ssm', 'mlp']],
    ]);
  });

  it('refuses rates that remove nothing or everything, and parts that there are not', async () => {
    const model = smallMamba();
    const evaluate: Evaluate = () => Promise.resolve({ loss: 1, accuracy: 1 });
    const measure = (options: object): Promise<Sensitivity> =>
      measureSensitivity(model, { evaluate, ...options });
    await expect(measure({ rates: [0.5, 1] })).rejects.toThrow(
      'measureSensitivity: rate: got 1, expected a number above 0 and below 1.',
    );
    await expect(measure({ rates: [] })).rejects.toThrow('rates: got none, expected');
    await expect(measure({ by: 'layer' })).rejects.toThrow(
      "measureSensitivity: by: got 'layer', expected one of group, block, kind.",
    );
    await expect(measure({ kinds: ['heads'] })).rejects.toThrow("pruning target: got 'heads'");
  });
});

describe('parts', () => {
  it('are groups, blocks or kinds', () => {
    const groups = smallMamba().pruningGroups();
    const names = (by: 'group' | 'block' | 'kind') => partsOf(groups, by).map(({ name }) => name);
    expect(names('group')).toHaveLength(8);
    expect(names('block')).toEqual(['blocks.0', 'blocks.1']);
    expect(names('kind')).toEqual(['ssm', 'state', 'dt_rank', 'mlp']);
    expect(blockOf('alone')).toBe('alone');
  });
});
