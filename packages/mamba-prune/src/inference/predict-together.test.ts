// Predictions and evaluations that use one model at the same time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { manualSeed } from '@mamba-prune/libtorch';
import { productsMissing } from '@mamba-prune/libtorch/kernels';
import { createModel } from '../models/registry.js';
import type { InferencePrecision } from '../precision.js';
import { type Prediction, predictImages } from './predict.js';

const dir = mkdtempSync(join(tmpdir(), 'mp-together-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const side = 16;
const paths = [1, 2, 3, 4].map((factor) => {
  const path = join(dir, `${factor}.ppm`);
  const pixels = Buffer.from(Array.from({ length: 3 * side * side }, (_, i) => i * factor * 37));
  writeFileSync(path, Buffer.concat([Buffer.from(`P6 ${side} ${side} 255\n`), pixels]));
  return path;
});
const classes = ['a', 'b', 'c'];
const info = {
  dataset: 'none',
  classes,
  mean: [0.5, 0.5, 0.5],
  std: [0.2, 0.2, 0.2],
  history: [],
};

const has = (['fp32', 'bf16', 'int8'] as const).filter(
  (precision) => precision === 'fp32' || productsMissing(precision) === undefined,
);

describe('predictions with one model at the same time', () => {
  it(`give what each gives alone: ${has.join(', ')}`, async () => {
    manualSeed(1);
    const sizes = { dModel: 16, depth: 2, imageSize: side, patchSize: 4, numClasses: 3 };
    // Half of the blocks are left out in training: what is computed in that mode shows.
    const model = createModel('mamba_nano', { ...sizes, channels: 3, dropPath: 0.5 }).train();
    const predict = (precision: InferencePrecision) =>
      predictImages(model, info, paths, { precision, batchSize: 1 });
    const alone: Prediction[][] = [];
    for (const precision of has) alone.push(await predict(precision));
    expect(new Set(alone.map((result) => JSON.stringify(result))).size).toBe(has.length);
    for (const order of [has, has.toReversed()]) {
      const together = await Promise.all([...order, ...order].map(predict));
      const expected = order.map((precision) => alone[has.indexOf(precision)]);
      expect(together).toEqual([...expected, ...expected]);
    }
    model.dispose();
  });
});
