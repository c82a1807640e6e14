// Passes over real images that leave no trace in the model: for scores that need more than weights.
import { Tensor, getRngState, noGrad, scope, setRngState } from '@mamba-prune/libtorch';
import { shownOrShape } from '../shown-tensor.js';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { rememberModes } from '../models/modes.js';

export interface CalibrationBatch {
  /** Normalised, shape [n, channels, height, width], on the model's device. */
  readonly images: Tensor;
  /** Class numbers, int64 [n]. */
  readonly labels: Tensor;
}

/**
 * Real images with labels; called once per pass. Whoever consumes a batch frees its tensors after
 * use.
 */
export type Calibration = () => AsyncIterable<CalibrationBatch>;

/**
 * Means over all images of what `step` measures on each batch, in evaluation mode.
 *
 * Nothing of it is left in the model, also after an error: mode of every module, gradients, batch
 * statistics, and the random generators' state are as before. Mode and `requiresGrad` are changed
 * within a batch only, so that other code may use the model while the next batch is read.
 *
 * @param step - gives, per name, a mean over the batch, always of the same shape
 * @returns float64 per name; the caller disposes them
 * @throws UsageError if there are no images
 */
export async function averageOverBatches(
  model: ImageModel,
  calibration: Calibration,
  step: (batch: CalibrationBatch) => ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const sums = new Map<string, Tensor>();
  // Models draw nothing in evaluation mode, but the source of the batches may.
  const restoreRandom = rememberRandom(model);
  let total = 0;
  try {
    for await (const batch of calibration()) {
      checkBatch(batch);
      try {
        const count = batch.images.size(0);
        scope(() => {
          addTo(
            sums,
            inEvaluation(model, () => step(batch)),
            count,
          );
        });
        total += count;
      } finally {
        batch.images.dispose();
        batch.labels.dispose();
      }
    }
    if (total === 0) {
      throw new UsageError('calibration: got no images, expected at least one batch of real data.');
    }
    for (const sum of sums.values()) sum.div_(total);
    return sums;
  } catch (error) {
    free(sums);
    throw error;
  } finally {
    restoreRandom();
  }
}

/** @throws UsageError for what is no batch; the model says what is wrong with the shape of its images */
function checkBatch(batch: unknown): void {
  const { images, labels } = (batch ?? {}) as Partial<CalibrationBatch>;
  const isBatch =
    images instanceof Tensor &&
    labels instanceof Tensor &&
    images.shape.length === 4 &&
    labels.shape.length === 1 &&
    labels.shape[0] === images.shape[0];
  if (isBatch) return;
  throw new UsageError(
    `calibration: got ${shownOrShape(images)} for images and ${shownOrShape(labels)} for labels, expected tensors ` +
      '[n, channels, height, width] and [n]. calibrationOf makes such batches of a data set.',
  );
}

/** Frees what `averageOverBatches` gave. */
export function free(tensors: ReadonlyMap<string, Tensor>): void {
  for (const tensor of tensors.values()) tensor.dispose();
}

/** Batches count by their images: cutting the same data into other batches gives the same mean. */
function addTo(
  sums: Map<string, Tensor>,
  values: ReadonlyMap<string, Tensor>,
  count: number,
): void {
  noGrad(() => {
    for (const [name, value] of values) {
      const weighted = value.detach().to('float64').mul(count);
      const sum = sums.get(name);
      if (sum) sum.add_(weighted);
      else sums.set(name, weighted.keep());
    }
  });
}

/** `body` with the model in evaluation mode, which is as it was afterwards. */
export function inEvaluation<T>(model: ImageModel, body: () => T): T {
  const restoreModes = rememberModes(model);
  model.eval();
  try {
    return body();
  } finally {
    restoreModes();
  }
}

/** @returns what puts the random generators' state back to what it is now */
export function rememberRandom(model: ImageModel): () => void {
  const devices = new Set(['cpu', ...model.parameters().map(({ device }) => device)]);
  const states = Array.from(devices, (device) => ({ device, state: getRngState(device) }));
  return () => {
    for (const { device, state } of states) setRngState(state, device);
  };
}
