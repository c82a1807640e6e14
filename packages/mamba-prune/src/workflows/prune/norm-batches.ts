// Over which images batch normalisation is measured again after a cut, and how many unless told.
import type { AugmentOptions } from '../../data/augment/options.js';
import { BatchLoader } from '../../data/loader.js';
import type { Dataset } from '../../data/types.js';
import { hasBatchNorm } from '../../models/batch-norm.js';
import type { ImageModel } from '../../models/image-model.js';
import { type BatchSource, limitSplit } from '../../training/batches.js';
import { fewImages } from '../../training/reestimate-bn.js';
import { trainOptionsOf } from '../settings.js';
import type { PruneJob } from './job.js';
import type { ResolvedPruneSettings } from './settings.js';

/** Enough for means whose error is a few percent of the deviation, and soon done. */
const usual = 16;

/** Images per batch: those of the training. */
export const normBatchSize = ({ batchSize = 128 }: ResolvedPruneSettings['recipe']): number =>
  batchSize;

/** Of fewer images the new statistics may be worse than the old ones. */
export const leastNormImages = 256;

/** The training images, augmented as in training; undefined where nothing is to be measured. */
export function normSource(
  dataset: Dataset,
  { recipe, bnBatches }: ResolvedPruneSettings,
): BatchSource | undefined {
  if (bnBatches === 0) return undefined;
  const { seed = 0, maxTrainImages = null } = recipe;
  return new BatchLoader(limitSplit(dataset.train, maxTrainImages, seed), dataset.info, {
    batchSize: normBatchSize(recipe),
    seed,
    shuffle: true,
    augment: trainOptionsOf(recipe, dataset.info).augment as AugmentOptions,
  });
}

/** How many there are to train on. */
export const trainImages = ({
  dataset,
  settings,
}: Pick<PruneJob, 'dataset' | 'settings'>): number =>
  Math.min(dataset?.train.length ?? 0, settings.recipe.maxTrainImages ?? Infinity);

/** Batches to measure where nothing is said: 0 of models without batch normalisation, or with too few images. */
export function usualBnBatches(
  { dataset, settings, told }: UsualInputs,
  model: ImageModel,
): number {
  const images = trainImages({ dataset, settings });
  if (told || images < leastNormImages || !hasBatchNorm(model)) return 0;
  return Math.min(usual, Math.ceil(images / normBatchSize(settings.recipe)));
}

/**
 * What to say where few images alone kept batch normalisation from being measured again: a cut ResNet may then answer one
 * class whatever it sees. Undefined where it is measured, where the model has none, and where so few images would do harm.
 * @param images - training images that there are
 */
export function keptNormsNote(
  model: ImageModel,
  images: number,
  batchSize: number,
): string | undefined {
  if (images < fewImages || images >= leastNormImages || !hasBatchNorm(model)) return undefined;
  return (
    `batch normalisation keeps the statistics from before the cut: ${images} training images are fewer than the ` +
    `${leastNormImages} with which it is measured again by itself. The cut may look worse than it is. \`bnBatches\` ` +
    `${Math.ceil(images / batchSize)} measures it with these images.`
  );
}

interface UsualInputs extends Pick<PruneJob, 'dataset' | 'settings'> {
  /** Whether the settings say it themselves. */
  readonly told: boolean;
}

export function withBnBatches(job: PruneJob, bnBatches: number): PruneJob {
  const settings = { ...job.settings, bnBatches };
  return { ...job, settings, normSource: job.dataset && normSource(job.dataset, settings) };
}
