// A training for the tests of several workers: the same in each of them and in one process.
import { manualSeed } from '@mamba-prune/libtorch';
import { RunFolder, createModel, trainModel } from 'mamba-prune';
import { MemorySplit } from 'mamba-prune/data';

const side = 32;
const bytes = 3 * side * side;
const classes = ['a', 'b', 'c', 'd'];
const info = {
  name: 'made up',
  classes,
  channels: 3,
  height: side,
  width: side,
  mean: [0.5, 0.5, 0.5],
  std: [0.3, 0.3, 0.3],
};

/** Noise, brighter in one quarter of the rows: which one is the class. */
function split(count, seed) {
  const pixels = new Uint8Array(count * bytes);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes.length);
  let state = seed;
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const row = Math.floor(i / side) % side;
    const isBright = Math.floor((4 * row) / side) === labels[Math.floor(i / bytes)];
    pixels[i] = (state >>> 25) + (isBright ? 100 : 0);
  }
  return new MemorySplit(pixels, labels, bytes);
}

export function dataset(images) {
  return { info, train: split(images, 1), test: split(256, 2) };
}

/**
 * float32, and SGD, whose step is in proportion to the gradient: roundings stay as small as they are, where AdamW
 * would make a whole step of one in a gradient that is nearly zero.
 */
export const options = {
  epochs: 4,
  batchSize: 128,
  optimizer: 'sgd',
  lr: 0.02,
  momentum: 0.9,
  augment: { padCrop: 2 },
  precision: 'fp32',
  seed: 3,
};

const description = { command: 'train', args: ['train', 'made up'], seed: 3 };

export function newModel(device) {
  manualSeed(5);
  return createModel('mamba_small', { numClasses: classes.length, depth: 6 }).to(device);
}

/**
 * Trains in a run's folder, anew or from its checkpoint.
 * @param group - of workers; none: this process alone
 * @returns the model, what `train` returned, and the last line of the metrics
 */
export async function training(path, device, images, given, { group, hooks } = {}) {
  const leads = (group?.rank ?? 0) === 0;
  const isRun = leads && RunFolder.isRun(path);
  const run = isRun
    ? RunFolder.open(path, { write: true })
    : leads
      ? RunFolder.create(path, description)
      : RunFolder.follow(path, description);
  try {
    const model = newModel(device);
    const control = { resume: true, ...(group && { group }) };
    const result = await trainModel(model, dataset(images), given, run, hooks, control);
    return { model, result, last: leads ? run.readMetrics().at(-1) : undefined };
  } finally {
    run.release();
  }
}
