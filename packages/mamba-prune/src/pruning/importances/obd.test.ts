import { F, type Tensor, noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { scoreUnits } from '../score-units.js';
import {
  calibrationOf,
  pixels,
  randomImages,
  smallMamba,
  threeNeurons,
  weightOf,
} from '../testing/models.js';

describe('importance obd', () => {
  it('is half of w² times the mean squared gradient of single images, as a hand computes', async () => {
    const model = threeNeurons([2, 3, 5]);
    // Outputs (3, 2, 0) and (1, 4, 0). The gradient of an image by its reader a_j is h_j / 2 or -h_j / 2 in either of two
    // rows, and 0 by fc1: 1/2 · 2 · a² · mean h² / 4.
    const images = pixels([
      [1, 2],
      [2, -1],
    ]);
    for (const sizes of [[2], [1, 1]]) {
      const scores = await scoreUnits(
        model,
        model.pruningGroups(),
        { importance: 'obd' },
        calibrationOf(images, [0, 1], sizes),
      );
      expect([...(scores.get('hidden') ?? [])]).toEqual([
        (2 ** 2 * ((9 + 1) / 2)) / 4,
        (3 ** 2 * ((4 + 16) / 2)) / 4,
        0,
      ]);
    }
  });

  it('equals what backward gives for one image after the other, under score group too', async () => {
    const model = smallMamba();
    const calibration = randomImages(model, [3, 2]);
    const name = 'blocks.0.mlp.2.weight'; // [16, 64]: the columns are the neurons
    const expected = new Float64Array(64);
    for await (const { images, labels } of calibration()) {
      for (let i = 0; i < images.size(0); i++) {
        model.zeroGrad();
        F.crossEntropy(model.forward(images.narrow(0, i, 1)), labels.narrow(0, i, 1)).backward();
        noGrad(() => {
          const weight = weightOf(model, name);
          const product = weight
            .detach()
            .to('float64')
            .mul(weight.grad as Tensor);
          const sums = product.square().sum(0).toNumbers();
          sums.forEach((sum, unit) => (expected[unit] = (expected[unit] ?? 0) + sum / 2 / 5));
        });
      }
    }
    model.zeroGrad();
    const [group] = model.pruningGroups().filter(({ kind }) => kind === 'mlp');
    if (!group) throw new Error('no group');
    const readers = group.members.filter(({ parameter }) => parameter === name);
    const own = [{ ...group, members: readers }];
    const scores = await scoreUnits(model, own, { importance: 'obd' }, calibration);
    const got = [...(scores.get(group.name) ?? [])];
    // Both add float64 squares of the same float32 gradients, in another order.
    got.forEach((score, unit) => {
      expect(score / (expected[unit] ?? NaN), `unit ${unit}`).toBeCloseTo(1, 10);
    });
    const options = { importance: 'obd', score: 'group' } as const;
    const shares = (await scoreUnits(model, own, options, calibration)).get(group.name);
    const mean = got.reduce((sum, score) => sum + score, 0) / got.length;
    got.forEach((score, unit) => {
      expect((shares?.[unit] ?? NaN) / (score / mean)).toBeCloseTo(1, 10);
    });
  });
});
