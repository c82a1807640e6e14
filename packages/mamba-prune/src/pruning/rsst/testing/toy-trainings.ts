// For tests: trainings of small models on the toy task, 2 epochs of 7 steps, under the hooks that a test gives them.
import { manualSeed } from '@mamba-prune/libtorch';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { ImageModel } from '../../../models/image-model.js';
import {
  type EpochMetrics,
  RunFolder,
  type TrainControl,
  type TrainHooks,
  type TrainOptions,
} from '../../../training/index.js';
import { temporaryFolder, toyDataset, toyRun } from '../../../training/testing/toy.js';
import { train } from '../../../training/trainer.js';

const trainOptions: TrainOptions = { epochs: 2, batchSize: 16, lr: 0.01, seed: 4 };

export interface ToyTraining {
  /** Of the run's folder. Default `run`. */
  readonly name?: string;
  /** By default a fresh one. */
  readonly model?: ImageModel;
  readonly resume?: boolean;
  readonly stopAfter?: number;
  readonly options?: Partial<TrainOptions>;
  readonly control?: TrainControl;
}

interface ToyTrainings {
  /** A fresh model, which goes when the test ends. @param seed - Default `2`. */
  readonly model: (seed?: number) => ImageModel;
  /** Has another model go with the test. */
  readonly keep: (model: ImageModel) => ImageModel;
  readonly train: (
    hooksOf: (model: ImageModel) => TrainHooks,
    how?: ToyTraining,
  ) => Promise<{ run: RunFolder; model: ImageModel; lines: EpochMetrics[] }>;
}

/** Each test has a folder of its own. @param create - a model for the toy task: 6 px, one channel, three classes */
export function toyTrainings(create: () => ImageModel): ToyTrainings {
  let folder: ReturnType<typeof temporaryFolder>;
  const made: ImageModel[] = [];
  beforeEach(() => (folder = temporaryFolder()));
  afterEach(() => {
    folder.remove();
    for (const model of made.splice(0)) model.dispose();
  });
  const keep = (model: ImageModel): ImageModel => {
    made.push(model);
    return model;
  };
  const fresh = (seed = 2): ImageModel => {
    manualSeed(seed);
    return keep(create());
  };
  return {
    model: fresh,
    keep,
    async train(hooksOf, how = {}) {
      const { name = 'run', model = fresh(), resume = false } = how;
      const at = join(folder.path, name);
      const run = resume ? RunFolder.open(at, { write: true }) : RunFolder.create(at, toyRun);
      const controller = new AbortController();
      const onStep: TrainHooks['onStep'] = ({ epoch, step, stepsPerEpoch }) => {
        if ((epoch - 1) * stepsPerEpoch + step === how.stopAfter) controller.abort();
      };
      try {
        const hooks = { onStep, ...hooksOf(model) };
        const control = { resume, signal: controller.signal, ...how.control };
        const options = { ...trainOptions, ...how.options };
        await train(model, toyDataset(), options, run, hooks, control);
        return { run, model, lines: run.readMetrics().filter((line) => line.type === 'epoch') };
      } finally {
        run.release();
      }
    },
  };
}
