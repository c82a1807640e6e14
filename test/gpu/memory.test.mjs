// Running out of a GPU's memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { empty } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { fitBatchSize } from '../../packages/mamba-prune/dist/training/auto-batch.js';
import { isOutOfMemory } from '../../packages/mamba-prune/dist/memory.js';
import { gpu, skip } from './support.mjs';

const GIB = 2 ** 30;

/** Takes all memory but some GiB, so that little is to be computed before the rest is full. */
function fillAllBut(free) {
  const taken = [];
  try {
    for (;;) taken.push(empty([GIB], { dtype: 'uint8', device: gpu }).keep());
  } catch (error) {
    assert.ok(isOutOfMemory(error), String(error));
  }
  for (let i = 0; i < free; i++) taken.pop()?.dispose();
  return () => {
    for (const tensor of taken) tensor.dispose();
  };
}

describe('auto-batch on a GPU', { skip }, () => {
  it('halves no further than it must: twice what it found does not fit', () => {
    const release = fillAllBut(4);
    try {
      const model = createModel('mamba_small').to(gpu);
      const dataset = { info: { channels: 3, height: 32, width: 32 }, train: { length: 1e6 } };
      const fit = (batchSize) => fitBatchSize(model, dataset, { epochs: 1, batchSize, lr: 1 });
      const found = fit(2 ** 14);
      console.log(`4 GiB: batches of ${found?.batchSize}`);
      assert.ok(found && found.batchSize >= 1);
      assert.equal(found.lr, found.batchSize / 2 ** 14);
      assert.equal(fit(found.batchSize), undefined);
      assert.equal(fit(2 * found.batchSize)?.batchSize, found.batchSize);
    } finally {
      release();
    }
  });
});
