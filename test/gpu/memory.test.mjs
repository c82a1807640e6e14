// Running out of a GPU's memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cudaMemory, empty, emptyCudaCache } from '@mamba-prune/libtorch';
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
  emptyCudaCache(gpu);
  return () => {
    for (const tensor of taken) tensor.dispose();
  };
}

describe('the memory of a GPU', { skip }, () => {
  it('is told, and given back when the cache is emptied', () => {
    const before = cudaMemory(gpu);
    const tensor = empty([GIB], { dtype: 'uint8', device: gpu }).keep();
    assert.equal(cudaMemory(gpu).allocated - before.allocated, GIB);
    tensor.dispose();
    assert.equal(cudaMemory(gpu).allocated, before.allocated);
    assert.ok(cudaMemory(gpu).reserved >= before.reserved + GIB);
    emptyCudaCache(gpu);
    assert.ok(cudaMemory(gpu).reserved <= before.reserved);
    assert.ok(cudaMemory(gpu).free <= before.total);
  });
});

describe('auto-batch on a GPU', { skip }, () => {
  it('halves no further than it must: twice what it found does not fit', () => {
    const release = fillAllBut(4);
    try {
      const model = createModel('mamba_small').to(gpu);
      const dataset = {
        info: { channels: 3, height: 32, width: 32 },
        train: { length: 1e6 },
        test: { length: 1 },
      };
      const fit = (batchSize) => fitBatchSize(model, dataset, { epochs: 1, batchSize, lr: 1 });
      // Libraries take memory for good when they are first used.
      fit(2 ** 14);
      const before = cudaMemory(gpu);
      const found = fit(2 ** 14);
      const { allocated, free } = cudaMemory(gpu);
      console.log(`${(before.free / GIB).toFixed(1)} GiB: batches of ${found?.batchSize}`);
      assert.ok(
        allocated - before.allocated < 2 ** 20,
        `${allocated - before.allocated} bytes stay`,
      );
      emptyCudaCache(gpu);
      assert.ok(
        cudaMemory(gpu).free > before.free - GIB / 2,
        `${free} bytes free after, ${before.free} before`,
      );
      assert.ok(found && found.batchSize >= 1);
      assert.equal(found.lr, found.batchSize / 2 ** 14);
      assert.equal(fit(found.batchSize), undefined);
      assert.equal(fit(2 * found.batchSize)?.batchSize, found.batchSize);
    } finally {
      release();
    }
  });
});
