// Batches that stream from the host through pinned memory.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ones, scope } from '@mamba-prune/libtorch';
import { DeviceBatches } from '../../packages/mamba-prune/dist/data/device/device-batches.js';
import { DeviceSplit } from '../../packages/mamba-prune/dist/data/device/device-split.js';
import { StreamedBatches } from '../../packages/mamba-prune/dist/data/device/streamed-batches.js';
import { MemorySplit } from '../../packages/mamba-prune/dist/data/memory-split.js';
import { augmentPreset } from '../../packages/mamba-prune/dist/data/augment/options.js';
import { gpu, skip } from './support.mjs';

const side = 32;
const count = 1000;
const info = {
  name: 'made up',
  classes: ['a', 'b', 'c', 'd'],
  channels: 3,
  height: side,
  width: side,
  mean: [0.5, 0.4, 0.3],
  std: [0.2, 0.3, 0.25],
};
const bytes = 3 * side * side;
const pixels = Uint8Array.from({ length: count * bytes }, (_, i) => (i * 7919 + (i >> 9)) % 251);
const labels = Uint8Array.from({ length: count }, (_, i) => (i * 13) % 4);
const split = new MemorySplit(pixels, labels, bytes);
const options = {
  batchSize: 96,
  shuffle: true,
  seed: 4,
  augment: { ...augmentPreset('strong', info), mixup: 0.2, cutmix: 0.5 },
};

/**
 * The batches of two epochs, read only at the end. The device is kept busy before each, so that the host
 * is far ahead: what it wrote over too early would be seen.
 */
async function batchesOf(source) {
  const kept = [];
  for (const epoch of [0, 1]) {
    for await (const { images, labels, targets } of source.epoch(epoch)) {
      scope(() => {
        let busy = ones([2048, 2048], { device: gpu });
        for (let i = 0; i < 20; i++) busy = busy.matmul(busy).mul(1e-3);
      });
      kept.push([images, labels, targets].map((tensor) => tensor.clone().keep()));
    }
  }
  return kept.map((tensors) => tensors.map((tensor) => tensor.toNumbers()));
}

describe('batches streamed to a GPU', { skip }, () => {
  it('are those of a data set that lies there, however far the host is ahead', async () => {
    const there = await DeviceSplit.upload(split, info, { device: gpu });
    const wanted = await batchesOf(new DeviceBatches(there, options));
    const got = await batchesOf(new StreamedBatches(split, info, { ...options, device: gpu }));
    assert.equal(got.length, 22);
    assert.deepEqual(got, wanted);
    assert.notDeepEqual(got[0], got[11]); // the second epoch is another
  });
});
