/** Running statistics of batch normalisation, measured anew: after a cut they are another model's. */
import { nn, noGrad, scope, type Tensor } from '@mamba-prune/libtorch';
import { checksOf } from '../checks.js';
import type { DatasetInfo, NoteHandler } from '../data/index.js';
import { UsageError } from '../errors.js';
import { batchNormsOf } from '../models/batch-norm.js';
import { rememberModes } from '../models/modes.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { type BatchSource, toTensors } from './batches.js';
import { deviceOf } from './evaluate.js';
import type { Trainable } from './trainable.js';

export interface ReestimateOptions {
  /** Calibration batches; as many as the source has in one epoch, if that is less. */
  readonly batches: number;
  /** Stops between two batches; the statistics are then as they were. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Told if the images are fewer than were asked for, or too few for statistics worth having. */
  readonly onNote?: NoteHandler | undefined;
}

const reestimateKinds: OptionKinds<ReestimateOptions> = {
  batches: 'number',
  signal: 'object',
  onProgress: 'function',
  onNote: 'function',
};

/** With fewer the error of a mean is over a sixth of the deviation, and a cut model soon worse for it. */
export const fewImages = 32;

export interface Reestimation {
  /** Layers of batch normalisation; 0: the model has none and nothing was done. */
  readonly layers: number;
  /** Batches that the statistics are means over. */
  readonly batches: number;
  /** In those batches. */
  readonly images: number;
}

/**
 * Resets the running mean and variance of every BatchNorm2d and makes them the plain means over
 * calibration batches, as PyTorch's `torch.optim.swa_utils.update_bn` does. All else stays: weights,
 * modes, and the statistics too if it does not come to the end. Other layers run in evaluation mode,
 * so that dropout neither changes the statistics nor uses the random generator.
 *
 * @param source - usually the training images, augmented as in training
 * @returns undefined if the signal stopped it
 * @throws UsageError for a number of batches below 1, or a source without any
 */
export async function reestimateBatchNorm(
  model: Trainable,
  source: BatchSource,
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width'>,
  options: ReestimateOptions,
): Promise<Reestimation | undefined> {
  requireOptions('reestimateBatchNorm', options, reestimateKinds);
  const { batches, signal, onProgress, onNote } = options;
  checksOf('reestimateBatchNorm').integer('batches', batches, { min: 1 });
  const layers = batchNormsOf(model);
  if (layers.length === 0) return { layers: 0, batches: 0, images: 0 };
  const device = deviceOf(model);
  const total = Math.min(batches, source.batchesPerEpoch);
  if (total === 0) {
    throw new UsageError(
      'reestimateBatchNorm: got a source without a batch, expected at least one. Give more images.',
    );
  }
  const before = layers.map((layer) => saved(layer));
  const restoreModes = rememberModes(model);
  let done = 0;
  let images = 0;
  try {
    model.eval();
    for (const layer of layers) reset(layer);
    for await (const batch of source.epoch(0)) {
      if (signal?.aborted) break;
      scope(() => noGrad(() => model.forward(toTensors(batch, info, device).images)));
      done++;
      images += batch.size;
      onProgress?.(done, total);
      if (done === total) break;
    }
    if (done !== total) return undefined;
    const note = scarcity(images, done, batches);
    if (note !== undefined) onNote?.(note);
    return { layers: layers.length, batches: done, images };
  } finally {
    layers.forEach((layer, i) => {
      restore(layer, before[i] as Saved, done === total);
    });
    restoreModes();
  }
}

/** What there is to say of how little was seen; undefined if it was enough. */
function scarcity(images: number, done: number, asked: number): string | undefined {
  const of = `${images} ${images === 1 ? 'image' : 'images'}`;
  const what = `batch normalisation: its statistics come from ${of}`;
  const fewer =
    done < asked ? `, in ${done} of the ${asked} batches asked for: there are no more` : '';
  const poor =
    images < fewImages
      ? ` So few can make the model worse than it was: give at least ${fewImages}, or leave \`bnBatches\` out.`
      : '';
  return fewer === '' && poor === '' ? undefined : `${what}${fewer}.${poor}`;
}

interface Saved {
  readonly momentum: number | null;
  readonly statistics: readonly Tensor[];
}

const statisticsOf = ({ runningMean, runningVar, numBatchesTracked }: nn.BatchNorm2d): Tensor[] => [
  runningMean,
  runningVar,
  numBatchesTracked,
];

function saved(layer: nn.BatchNorm2d): Saved {
  const statistics = noGrad(() => statisticsOf(layer).map((tensor) => tensor.clone().keep()));
  return { momentum: layer.momentum, statistics };
}

function reset(layer: nn.BatchNorm2d): void {
  layer.train();
  // Without a momentum the statistics are the mean over all batches since the reset.
  layer.momentum = null;
  noGrad(() => {
    layer.runningMean.zero_();
    layer.runningVar.fill_(1);
    layer.numBatchesTracked.zero_();
  });
}

/** @param keepNew - the new statistics stay */
function restore(layer: nn.BatchNorm2d, before: Saved, keepNew: boolean): void {
  layer.momentum = before.momentum;
  noGrad(() => {
    before.statistics.forEach((old, i) => {
      if (!keepNew) statisticsOf(layer)[i]?.copy_(old);
      old.dispose();
    });
  });
}
