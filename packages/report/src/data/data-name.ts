// What the data of a run are called, by which runs on the same images are known.
// The page reads it too: no import of Node.js or of mamba-prune.
import type { RunData } from '../page-data/run.js';

/** `cifar10`, or `folder flowers`; empty where the run does not say. */
export const dataName = ({ dataset }: Pick<RunData, 'dataset'>): string =>
  dataset === undefined
    ? ''
    : `${dataset.name}${dataset.folder === undefined ? '' : ` ${dataset.folder}`}`;

/** Whether the data have to be said, because the runs' accuracies are of different images. */
export const hasSeveralData = (runs: readonly Pick<RunData, 'dataset'>[]): boolean =>
  new Set(runs.map(dataName)).size > 1;
