// Images that a small model learns in seconds, so that the examples need no download: stripes in one of
// three directions, under noise.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Dataset,
  type ImageModel,
  RunFolder,
  type TrainHooks,
  type TrainOptions,
  evaluateModel,
  trainModel,
} from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';

export const side = 12;
const classes = ['across', 'down', 'aslant'];

/** The same images at every call. */
export function stripes(train = 480, test = 240): Dataset {
  const random = mulberry32(7);
  const split = (count: number): MemorySplit => {
    const images = new Uint8Array(count * side * side);
    const labels = Uint8Array.from({ length: count }, (_, i) => i % classes.length);
    labels.forEach((label, image) => {
      const phase = random() * 6;
      for (let pixel = 0; pixel < side * side; pixel++) {
        const [x, y] = [pixel % side, Math.floor(pixel / side)];
        const along = [y, x, (x + y) / Math.SQRT2][label] ?? 0;
        const stripe = Math.sin((2 * Math.PI * along) / 5 + phase);
        const value = 128 + 42 * stripe + 170 * (random() - 0.5);
        images[image * side * side + pixel] = Math.round(value);
      }
    });
    return new MemorySplit(images, labels, side * side);
  };
  const info = { name: 'stripes', classes, channels: 1, height: side, width: side } as const;
  return { info: { ...info, mean: [0.5], std: [0.25] }, train: split(train), test: split(test) };
}

/** Trains a model in place, in a folder that is gone afterwards. */
export async function trainBriefly(
  model: ImageModel,
  dataset: Dataset,
  options: TrainOptions,
  hooks: TrainHooks = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-example-'));
  const run = RunFolder.create(join(folder, 'run'), { command: 'example', args: [], seed: 0 });
  try {
    await trainModel(model, dataset, { batchSize: 32, lr: 3e-3, seed: 0, ...options }, run, hooks);
  } finally {
    run.release();
    rmSync(folder, { recursive: true });
  }
}

export async function accuracyOf(model: ImageModel, dataset: Dataset): Promise<number> {
  return (await evaluateModel(model, dataset)).accuracy;
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** A generator of uniform numbers in [0, 1) with 32 bits of state. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}
