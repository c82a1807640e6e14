import { F, noGrad, scope, type Tensor, zeros } from '@mamba-prune/libtorch';
import type { DatasetInfo } from '../data/index.js';
import { explainingMemory, type MemoryUse } from '../memory.js';
import { checkLogits } from '../models/family-results.js';
import { rememberModes } from '../models/modes.js';
import { imageType, precisionOn, weightCopies } from '../models/precision.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import type { Precision } from '../precision.js';
import { type BatchSource, toTensors } from './batches.js';
import type { Trainable } from './trainable.js';

export interface Evaluation {
  /** Mean cross-entropy, without label smoothing. */
  readonly loss: number;
  /** Share of images whose likeliest class is right, 0 to 1. */
  readonly accuracy: number;
  /** The same for the five likeliest; null below six classes. */
  readonly top5: number | null;
  readonly images: number;
}

export interface EvaluateOptions {
  /** Where the model is; default: where its first parameter is. */
  device?: string | undefined;
  /** In what the model computes; default fp32. Loss and accuracy are computed in float32. */
  precision?: Precision | undefined;
  /** Whether the caller keeps the model's 16-bit copies (`weightCopies`) up to date; default: none are kept. */
  hasCopies?: boolean | undefined;
  /** @internal Makes the calls of the model, as `PreparedInference` does. */
  run?: (<T>(task: () => T) => T) | undefined;
  /** Stops between two batches. */
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Sums over all workers, where each evaluates its share. */
  reduce?: ((sums: readonly number[]) => number[]) | undefined;
  /** Sees every batch's logits [batch, classes] and labels [batch], freed afterwards. */
  onBatch?: ((logits: Tensor, labels: Tensor) => void) | undefined;
}

const evaluateKinds: OptionKinds<EvaluateOptions> = {
  device: 'string',
  precision: 'string',
  hasCopies: 'boolean',
  run: 'function',
  signal: 'object',
  onProgress: 'function',
  reduce: 'function',
  onBatch: 'function',
};

/**
 * Loss and accuracy over all of a loader's batches, in evaluation mode and without gradients; the
 * model goes back to the modes it was in. Sums stay on the device until the end.
 *
 * @returns undefined if the signal stopped it
 */
export async function evaluate(
  model: Trainable,
  loader: BatchSource,
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width' | 'classes'>,
  options: EvaluateOptions = {},
): Promise<Evaluation | undefined> {
  checkOptions('evaluate', options, evaluateKinds);
  const device = options.device ?? deviceOf(model);
  const restoreModes = rememberModes(model);
  const precision = precisionOn(device, options.precision ?? 'fp32');
  const hasTop5 = info.classes.length > 5;
  // Loss, right, right among five.
  const sums = zeros([3], { dtype: 'float64', device }).keep();
  const copies = options.hasCopies ? undefined : weightCopies(model, precision, { fixed: true });
  try {
    let images = 0;
    let done = 0;
    for await (const batch of loader.epoch(0)) {
      if (options.signal?.aborted) return undefined;
      const work = () => {
        model.eval(); // for every batch: another evaluation of the model may have ended, and put its modes back
        const { images, labels } = toTensors(batch, info, device, imageType(precision));
        const forward = () => model.forward(images);
        const output = options.run ? options.run(forward) : forward();
        const given = checkLogits(output, batch.size, info.classes.length);
        const logits = F.atLeastFloat32(given);
        countBatch(sums, logits, labels, hasTop5);
        options.onBatch?.(logits, labels);
      };
      const launch = () => {
        scope(() => {
          noGrad(work);
        });
      };
      // A share of a small batch may be empty.
      if (batch.size > 0) explainingMemory(() => memoryOf(batch.size, device), launch);
      images += batch.size;
      options.onProgress?.(++done, loader.batchesPerEpoch);
    }
    const own = [...sums.toNumbers(), images];
    const [loss = NaN, right = NaN, among5 = NaN, total = NaN] = options.reduce?.(own) ?? own;
    return {
      loss: loss / total,
      accuracy: right / total,
      top5: hasTop5 ? among5 / total : null,
      images: total,
    };
  } finally {
    restoreModes();
    sums.dispose();
    copies?.dispose();
  }
}

function memoryOf(batchSize: number, device: string): MemoryUse {
  const advice = `Evaluate fewer images at a time (${Math.max(1, batchSize >> 1)}, say), or see that nobody else uses the device.`;
  return { where: 'evaluate', batchSize, device, advice };
}

function countBatch(sums: Tensor, logits: Tensor, labels: Tensor, top5: boolean): void {
  const loss = F.crossEntropy(logits, labels, { reduction: 'sum' });
  sums.select(0, 0).add_(loss);
  sums.select(0, 1).add_(countRight(logits, labels));
  if (!top5) return;
  const { indices } = logits.topk(5);
  sums.select(0, 2).add_(indices.eq(labels.unsqueeze(1)).sum());
}

/** How many rows of logits [batch, classes] have their largest value at the label; 0-d. */
export function countRight(logits: Tensor, labels: Tensor): Tensor {
  return logits.argmax(-1).eq(labels).sum();
}

/** Device of the first parameter; `cpu` for a model without any. */
export function deviceOf(model: Trainable): string {
  for (const tensor of model.namedParameters().values()) return tensor.device;
  return 'cpu';
}
