import { describe, expect, it } from 'vitest';
import { scoreUnits } from '../score-units.js';
import { TwoLayer, calibrationOf, pixels, threeNeurons } from '../testing/models.js';

// h = relu(p + q, 2p, -p): image (1, 2) gives h1 = (3, 2, 0), image (2, -1) gives h2 = (1, 4, 0). Both logits are equal,
// so the softmax is 1/2 for both, and dL/dlogits of an image is -1/2 for its class and 1/2 for the other one.
const images = pixels([
  [1, 2],
  [2, -1],
]);
const labels = [0, 1];
const readers = [2, 3, 5] as const;

const fisherOf = async (model: TwoLayer, sizes: readonly number[]): Promise<number[]> => {
  const calibration = calibrationOf(images, labels, sizes);
  const scores = await scoreUnits(
    model,
    model.pruningGroups(),
    { importance: 'fisher' },
    calibration,
  );
  return [...(scores.get('hidden') ?? [])];
};

describe('importance fisher', () => {
  it('sums w² times the squared gradient of a batch, as a hand computes', async () => {
    // The mean gradient of reader j is (h2 - h1) / 4 for class 0 and its negative for class 1, and equal readers pass
    // nothing back to fc1: 2 a² ((h2 - h1) / 4)², with h2 - h1 = (-2, 2, 0).
    expect(await fisherOf(threeNeurons(readers), [2])).toEqual([
      (2 * 2 ** 2 * 4) / 16,
      (2 * 3 ** 2 * 4) / 16,
      0,
    ]);
  });

  it('is the mean over batches, whose gradients do not cancel each other', async () => {
    // By images of their own: 2 a² (h / 2)², h² on average (9 + 1) / 2 and (4 + 16) / 2.
    expect(await fisherOf(threeNeurons(readers), [1, 1])).toEqual([
      (2 * 2 ** 2 * 5) / 4,
      (2 * 3 ** 2 * 10) / 4,
      0,
    ]);
  });
});
