// Compensation as part of a pruning run: its images, and what the record keeps of it.
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import { plural } from '../../format.js';
import type { ImageModel } from '../../models/image-model.js';
import type { KeptUnits } from '../../models/groups.js';
import type { Calibration } from '../../pruning/calibration.js';
import { fewestCompensationImages } from '../../pruning/compensation/choices.js';
import { type Compensation, compensate } from '../../pruning/compensation/compensate.js';
import { type CalibrationOptions, calibrationBatch, calibrationOf } from './calibration.js';
import type { ResolvedCompensateSettings } from './compensate-settings.js';
import type { CompensationRecord } from './compensation-record.js';
import type { PruneHooks } from './hooks.js';

/**
 * Training images for a compensation, the same at every pass.
 * @throws UsageError where there are too few, before anything is cut
 */
export function compensationImages(
  dataset: Dataset,
  { images }: ResolvedCompensateSettings,
  options: Omit<CalibrationOptions, 'batches' | 'onProgress'>,
): Calibration {
  const available = Math.min(dataset.train.length, options.maxImages ?? Infinity);
  if (available < fewestCompensationImages) {
    throw new UsageError(
      `prune: got ${plural(available, 'training image')} to compensate with, expected at least ${fewestCompensationImages}: most ` +
        'are fitted, and the others say whether that was of use. Give more images, or leave `compensate` out.',
    );
  }
  const maxImages = Math.min(images, available);
  return calibrationOf(dataset, {
    ...options,
    maxImages,
    batches: Math.ceil(maxImages / calibrationBatch),
  });
}

/** What a run compensates with. */
export interface CompensationJob extends ResolvedCompensateSettings {
  readonly calibration: Calibration;
}

/** @param accuracyBefore - of the cut model as it is */
export async function compensateCut(
  { calibration, target }: CompensationJob,
  models: { readonly model: ImageModel; readonly cut: ImageModel },
  kept: KeptUnits,
  accuracyBefore: number | null,
  { onEvaluate }: PruneHooks,
): Promise<CompensationRecord> {
  const made = await compensate(models.model, models.cut, kept, calibration, {
    target,
    onProgress: (done, total) => onEvaluate?.('compensation', done, total),
  });
  return { ...made, accuracyBefore, groups: byName(made) };
}

const byName = ({ groups }: Compensation): CompensationRecord['groups'] =>
  Object.fromEntries(groups.map(({ group, ...made }) => [group, made]));
