import {
  F,
  type Tensor,
  getRngState,
  isGradEnabled,
  memoryStats,
  noGrad,
  rand,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../models/image-model.js';
import { type Calibration, averageOverBatches, free } from './calibration.js';
import { scoreUnits } from './score-units.js';
import { refillUnits } from './refill.js';
import { TwoLayer, randomImages, smallMamba } from './testing/models.js';
import { settledMemory } from '../../../../test/support/garbage.js';

/** Everything about a model that a pass might change, as plain values. */
function traceOf(model: ImageModel): unknown {
  const values = (tensor: Tensor | null): number[] | null => tensor && tensor.toNumbers();
  return {
    state: Array.from(model.stateDict(), ([name, tensor]) => [name, values(tensor)]),
    gradients: Array.from(model.namedParameters(), ([name, { grad }]) => [name, values(grad)]),
    requiresGrad: model.parameters().map(({ requiresGrad }) => requiresGrad),
    modes: Array.from(model.namedModules(), ([name, { training }]) => [name, training]),
    random: Array.from(getRngState()),
    gradMode: isGradEnabled(),
  };
}

/** A model in the middle of training: gradients, some of it frozen, part of it in evaluation mode. */
async function midTraining(): Promise<TwoLayer> {
  const model = new TwoLayer({ units: 6, batchNorm: true });
  for await (const { images, labels } of randomImages(model, [4])()) {
    F.crossEntropy(model.forward(images), labels).backward();
  }
  model.fc1.weight.requiresGrad = false;
  model.norm?.eval();
  expect(model.drop.training).toBe(true);
  return model;
}

/** The second batch is not one of this model's, and reading it draws random numbers. */
function failing(calibration: Calibration, after: number): Calibration {
  return async function* () {
    let count = 0;
    for await (const batch of calibration()) {
      rand([3]);
      const broken = { ...batch, labels: batch.labels.narrow(0, 0, 1) };
      yield count++ < after ? batch : broken;
    }
  };
}

const uses: Record<string, (model: ImageModel, calibration: Calibration) => Promise<unknown>> = {
  'importance taylor': (model, calibration) =>
    scoreUnits(model, model.pruningGroups(), { importance: 'taylor', score: 'group' }, calibration),
  'importance obd': (model, calibration) =>
    scoreUnits(model, model.pruningGroups(), { importance: 'obd', score: 'group' }, calibration),
  'score activation': (model, calibration) =>
    scoreUnits(
      model,
      model.pruningGroups(),
      { importance: 'l1', score: 'activation' },
      calibration,
    ),
  'refill score gradient': (model, calibration) =>
    refillUnits(
      model,
      {
        rates: { neurons: 0.5 },
        importance: 'l1',
        ranking: 'layer',
        fillback: 0.5,
        refillScore: 'gradient',
      },
      calibration,
    ),
};

describe('a pass over calibration data', () => {
  for (const [what, use] of Object.entries(uses)) {
    it(`leaves no trace: ${what}`, async () => {
      const model = await midTraining();
      const calibration = failing(randomImages(model, [3, 3]), 2);
      const before = traceOf(model);
      await use(model, calibration);
      expect(traceOf(model)).toEqual(before);
    });

    it(`leaves no trace when it is cut short by an error: ${what}`, async () => {
      const model = await midTraining();
      const source = randomImages(model, [3, 3]);
      const before = traceOf(model);
      const broken: Calibration = async function* () {
        yield* failing(source, 1)();
      };
      if (what === 'score activation') {
        // Its pass reads no labels: the source itself fails.
        const unreadable: Calibration = async function* () {
          for await (const batch of source()) {
            rand([2]);
            yield batch;
            throw new Error('disk on fire');
          }
        };
        await expect(use(model, unreadable)).rejects.toThrow('disk on fire');
      } else {
        await expect(use(model, broken)).rejects.toThrow(
          /crossEntropy: got logits \[3, 2\]|calibration: got a tensor \[3, 2, 1, 1\] for images and a tensor \[1\] for labels/,
        );
      }
      expect(traceOf(model)).toEqual(before);
    });

    it(`gives the same in training mode, in evaluation mode and with frozen weights: ${what}`, async () => {
      const model = await midTraining();
      const calibration = randomImages(model, [4]);
      const training = await use(model, calibration);
      expect(await use(model, calibration)).toEqual(training); // no dropout in it
      model.eval();
      expect(await use(model, calibration)).toEqual(training);
      for (const parameter of model.parameters()) parameter.requiresGrad = false;
      expect(await use(model, calibration)).toEqual(training);
    });
  }

  it('reads the data once', async () => {
    const model = smallMamba();
    const source = randomImages(model, [2, 2, 1]);
    let batches = 0;
    const counted: Calibration = async function* () {
      for await (const batch of source()) {
        batches++;
        yield batch;
      }
    };
    await scoreUnits(model, model.pruningGroups(), { importance: 'taylor' }, counted);
    expect(batches).toBe(3);
  });

  it('frees its batches and everything made on the way', async () => {
    const model = smallMamba();
    const calibration = randomImages(model, [2, 2]);
    const groups = model.pruningGroups();
    const watched = groups.filter(({ optional }) => !optional);
    const pass = async (): Promise<void> => {
      for (const importance of ['taylor', 'fisher', 'obd']) {
        await scoreUnits(model, groups, { importance }, calibration);
      }
      await scoreUnits(model, watched, { importance: 'l1', score: 'activation' }, calibration);
    };
    await pass();
    const before = await settledMemory();
    await pass();
    expect(memoryStats()).toEqual(before);
  });

  it('weights batches by their images', async () => {
    const model = smallMamba();
    const means = await averageOverBatches(model, randomImages(model, [3, 1]), ({ images }) =>
      noGrad(() => new Map([['size', images.sum().mul(0).add(images.size(0))]])),
    );
    expect(means.get('size')?.item()).toBe((3 * 3 + 1 * 1) / 4);
    free(means);
  });

  it('refuses data without a single image', async () => {
    const model = smallMamba();
    await expect(
      scoreUnits(model, model.pruningGroups(), { importance: 'taylor' }, randomImages(model, [])),
    ).rejects.toThrow(/calibration: got no images, expected at least one batch/);
  });
});
