// What is done with a cut before it is measured, and the measuring: compensation, batch normalisation, accuracy.
import type { ImageModel } from '../../models/image-model.js';
import type { KeptUnits } from '../../models/groups.js';
import { evaluateModel, namingNotFinite } from '../../inference/evaluate-model.js';
import { pruneModel } from '../../pruning/surgery.js';
import { reestimateBatchNorm } from '../../training/reestimate-bn.js';
import { compensateCut } from './compensation.js';
import type { CompensationRecord } from './compensation-record.js';
import type { PruneHooks } from './hooks.js';
import type { PruneJob } from './job.js';

/**
 * Accuracy on test images: those that the training is measured by, if there is one.
 * @returns null without a data set; undefined if the signal stopped it
 */
export async function measure(
  { dataset, device, settings, control, accuracyImages }: PruneJob,
  model: ImageModel,
  what: string,
  hooks: PruneHooks,
): Promise<number | null | undefined> {
  if (!dataset) return null;
  const { seed, precision } = settings.recipe;
  const evaluation = await evaluateModel(model, dataset, {
    device,
    precision: precision ?? 'auto',
    asInTraining: true,
    images: accuracyImages,
    seed: seed ?? 0,
    ...(control.signal && { signal: control.signal }),
    onProgress: (done, total) => hooks.onEvaluate?.(what, done, total),
  }).catch(
    namingNotFinite(`prune: ${settings.model}, ${what === 'before' ? 'before the cut' : what}`),
  );
  return evaluation?.accuracy;
}

/** @returns false if the signal stopped it */
export async function reestimate(
  { normSource, dataset, settings, control }: PruneJob,
  model: ImageModel,
  hooks: PruneHooks,
): Promise<boolean> {
  if (!normSource || !dataset) return true;
  const done = await reestimateBatchNorm(model, normSource, dataset.info, {
    batches: settings.bnBatches,
    signal: control.signal,
    onNote: control.data?.onNote ?? control.hooks?.onNote,
    onProgress: (batches, total) => hooks.onEvaluate?.('batch normalisation', batches, total),
  });
  return done !== undefined;
}

/** @returns null where none is asked for; undefined if the signal stopped it */
export async function compensated(
  job: PruneJob,
  models: { readonly model: ImageModel; readonly cut: ImageModel },
  kept: KeptUnits,
  hooks: PruneHooks,
): Promise<CompensationRecord | null | undefined> {
  const { compensation } = job;
  if (!compensation) return null;
  const accuracy = await uncompensated(job, models, kept, hooks);
  if (accuracy === undefined) return undefined;
  return compensateCut(compensation, models, kept, accuracy, hooks);
}

/** Accuracy of a cut model without compensation, with batch normalisation as it will be with it. */
async function uncompensated(
  job: PruneJob,
  { model, cut }: { readonly model: ImageModel; readonly cut: ImageModel },
  kept: KeptUnits,
  hooks: PruneHooks,
): Promise<number | null | undefined> {
  if (!job.normSource) return measure(job, cut, 'before compensation', hooks);
  // What is regressed has the dense model's statistics: those of the cut are for a copy.
  const copy = pruneModel(model, kept).to(job.device);
  try {
    const goesOn = await reestimate(job, copy, hooks);
    return goesOn ? await measure(job, copy, 'before compensation', hooks) : undefined;
  } finally {
    copy.dispose();
  }
}
