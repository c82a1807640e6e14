// How a measurement makes its smaller models: cut, then compensated and with batch normalisation measured again, as `prune`
// does at a cut, so that what a part costs is what is lost in the end.
import { BatchLoader } from '../../data/loader.js';
import type { Dataset } from '../../data/types.js';
import { hasBatchNorm } from '../../models/batch-norm.js';
import type { ImageModel } from '../../models/image-model.js';
import { compensate } from '../../pruning/compensation/compensate.js';
import type { CutModel } from '../../pruning/sensitivity/measure.js';
import { pruneModel } from '../../pruning/surgery.js';
import { reestimateBatchNorm } from '../../training/reestimate-bn.js';
import { compensationImages } from '../prune/compensation.js';
import { leastNormImages } from '../prune/norm-batches.js';
import type { ResolvedSensitivitySettings } from './settings.js';

/** Batches unless told otherwise: 0 of models without batch normalisation, and of images too few for it. */
export const usualNormBatches = (model: ImageModel, images: number): number =>
  images >= leastNormImages && hasBatchNorm(model) ? 8 : 0;

/** Images per batch that batch normalisation is measured with. */
export const normBatch = 128;

/**
 * @param dataset - with all its training images
 * @returns undefined where nothing is done beside the cut
 */
export function cutOf(
  dataset: Dataset,
  { compensate: how, bnBatches, seed }: ResolvedSensitivitySettings,
  { device, signal }: { readonly device: string; readonly signal: AbortSignal | undefined },
): CutModel | undefined {
  if (!how && bnBatches === 0) return undefined;
  const calibration = how && compensationImages(dataset, how, { seed, device, signal });
  const norms =
    bnBatches > 0
      ? new BatchLoader(dataset.train, dataset.info, { batchSize: normBatch, shuffle: true, seed })
      : undefined;
  return async (model, kept) => {
    const made = pruneModel(model, kept).to(device);
    try {
      if (how && calibration) {
        await compensate(model, made, kept, calibration, { target: how.target });
      }
      if (norms) {
        const options = { batches: bnBatches, signal };
        await reestimateBatchNorm(made, norms, dataset.info, options);
        signal?.throwIfAborted();
      }
      return made;
    } catch (error) {
      made.dispose();
      throw error;
    }
  };
}
