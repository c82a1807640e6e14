// For tests: trainings on the toy task that differ in a few things.
import type { Dataset } from '../../data/index.js';
import type { RunFolder, TrainControl, TrainHooks, TrainOptions } from '../index.js';
import type { TrainResult } from '../train-result.js';
import { train } from '../trainer.js';
import { toyDataset, ToyModel, toyOptions } from './toy.js';

export interface ToyTraining {
  readonly control?: TrainControl;
  readonly hooks?: TrainHooks;
  /** Over `toyOptions`. */
  readonly options?: Partial<TrainOptions>;
  /** Default `toyDataset()`. */
  readonly dataset?: Dataset;
  /** Of the weights; those of a checkpoint replace them. */
  readonly seed?: number;
}

export function trainToy(
  run: RunFolder,
  { control, hooks, options, dataset = toyDataset(), seed }: ToyTraining,
): Promise<TrainResult> {
  return train(new ToyModel(seed), dataset, { ...toyOptions, ...options }, run, hooks, control);
}
