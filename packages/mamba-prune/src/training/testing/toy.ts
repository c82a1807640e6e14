/** A task that is learnt in a second, for tests: which of three bars an image shows, under noise. */
import { manualSeed, nn, type Tensor } from '@mamba-prune/libtorch';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Dataset, type DatasetInfo, MemorySplit } from '../../data/index.js';
import { Random, Stage } from '../../data/random.js';
import { readCheckpoint } from '../checkpoint.js';
import type { MetricsLine, RunDescription, RunFolder, TrainHooks, TrainOptions } from '../index.js';

export const side = 6;
const toyClasses = ['left', 'middle', 'right'];

export const toyInfo: DatasetInfo = {
  name: 'bars',
  classes: toyClasses,
  channels: 1,
  height: side,
  width: side,
  mean: [0.5],
  std: [0.25],
};

/** @param seed - of the noise; train and test have streams of their own */
export function toyDataset(train = 120, test = 60, seed = 1): Dataset {
  return { info: toyInfo, train: toySplit(train, seed), test: toySplit(test, seed + 1000) };
}

function toySplit(count: number, seed: number): MemorySplit {
  const random = new Random().seed(seed, Stage.split);
  const plane = side * side;
  const images = new Uint8Array(count * plane);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % toyClasses.length);
  for (let i = 0; i < images.length; i++) {
    const column = i % side;
    const bright = Math.floor(column / 2) === labels[Math.floor(i / plane)];
    images[i] = Math.floor(random.between(0, 150) + (bright ? 100 : 0));
  }
  return new MemorySplit(images, labels, plane);
}

/** Linear, ReLU, dropout, linear on the pixels: dropout so that the random generator matters. */
export class ToyModel extends nn.Module {
  readonly #body: nn.Sequential;

  constructor(seed = 5, hidden = 16, classes = toyClasses.length, dropout = 0.2) {
    super();
    manualSeed(seed);
    this.#body = this.child(
      'body',
      new nn.Sequential(
        new nn.Linear(side * side, hidden),
        new nn.ReLU(),
        new nn.Dropout(dropout),
        new nn.Linear(hidden, classes),
      ),
    );
  }

  forward(images: Tensor): Tensor {
    return this.#body.forward(images.flatten(1));
  }
}

export const toyOptions: TrainOptions = {
  epochs: 4,
  batchSize: 16,
  lr: 0.01,
  warmupEpochs: 0.5,
  emaDecay: 0.9,
  clipGradNorm: 1,
  labelSmoothing: 0.05,
  augment: { padCrop: 1, mixup: 0.2, mixProbability: 0.5 },
  seed: 3,
  checkpointEvery: { steps: 5, minutes: null },
};

export const toyRun: RunDescription = { command: 'train', args: ['train', 'toy'], seed: 3 };

/** Stops after so many steps of the whole training: hooks and a signal to train with. */
export function stopAfter(count: number): {
  readonly hooks: Pick<TrainHooks, 'onStep'>;
  readonly signal: AbortSignal;
} {
  const stop = new AbortController();
  const onStep: TrainHooks['onStep'] = ({ epoch, stepsPerEpoch, step }) => {
    if ((epoch - 1) * stepsPerEpoch + step === count) stop.abort();
  };
  return { hooks: { onStep }, signal: stop.signal };
}

/** `outcomeOf` a run that is released, without how its steps were given to the device. */
export function outcomeWithoutGraph(run: RunFolder) {
  run.release();
  const { metrics, ...rest } = outcomeOf(run);
  return { ...rest, metrics: metrics.map((line) => ({ ...(line as object), graph: undefined })) };
}

/** A folder of its own, and how to remove it. */
export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'mamba-prune-test-'));
  return {
    path,
    remove: () => {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/**
 * What of a run must not depend on how often it was interrupted, with hashes for bytes; times are
 * left out.
 */
export function outcomeOf(run: RunFolder) {
  const metrics = run.readMetrics().map((line) => withoutTimes(line));
  const { tensors, state } = readCheckpoint(run.lastCheckpoint);
  const { epoch, batch, step, finished, best, optimizer, emaUpdates } = state;
  return {
    metrics,
    model: hashOf(readFileSync(run.modelPath)),
    best: hashOf(readFileSync(run.bestModel)),
    tensors: Object.fromEntries([...tensors].map(([name, { data }]) => [name, hashOf(data)])),
    state: { epoch, batch, step, finished, best, optimizer, emaUpdates },
  };
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function withoutTimes(line: MetricsLine): unknown {
  return { ...line, seconds: 0, imagesPerSecond: 0 };
}
