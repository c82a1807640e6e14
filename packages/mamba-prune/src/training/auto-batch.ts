/** Finds a batch size that the device has memory for, before a training begins. */
import {
  F,
  emptyCudaCache,
  getRngState,
  noGrad,
  scope,
  setRngState,
  synchronize,
  type Tensor,
  zeros,
} from '@mamba-prune/libtorch';
import type { Dataset } from '../data/index.js';
import { isOutOfMemory, outOfMemory } from '../memory.js';
import { rememberModes } from '../models/modes.js';
import { imageType, precisionOn, weightCopies } from '../models/precision.js';
import { Ema } from './ema.js';
import { deviceOf } from './evaluate.js';
import { resolveTrainOptions } from './options.js';
import { rngDevices } from './saving.js';
import { makeOptimizer } from './session.js';
import type { ResolvedTrainOptions, Trainable, TrainOptions } from './types.js';

export interface FittedBatch {
  readonly batchSize: number;
  readonly lr: number;
}

export interface FitOptions {
  /** Takes the same images, and memory of its own. */
  readonly teacher?: Trainable | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
  /** That share every batch, this one among them; default 1. */
  readonly workers?: number | undefined;
  /** What all workers take, of what fits here. */
  readonly agree?: ((batchSize: number) => number) | undefined;
  /** What must not run out of memory with so many images. By default two training steps. */
  readonly attempt?: (batchSize: number) => void;
}

/**
 * Halves the batch size until two steps of training fit into the device's memory. The learning rate
 * falls in proportion (Goyal et al. 2017, arXiv 1706.02677, section 2.1, read backwards) and the epochs
 * stay, so that there are more steps, each of them smaller. The model, where it is, and the random
 * generators are afterwards what they were.
 *
 * @returns undefined if nothing has to change
 * @throws OutOfMemoryError if one image does not fit
 */
export function fitBatchSize(
  model: Trainable,
  dataset: Dataset,
  options: TrainOptions,
  { teacher, onNote, attempt, workers = 1, agree }: FitOptions = {},
): FittedBatch | undefined {
  const resolved = resolveTrainOptions(options, dataset.info);
  const { batchSize, lr } = resolved;
  const device = deviceOf(model);
  const take =
    attempt ??
    ((size) => {
      trySteps(model, dataset, resolved, size, teacher);
    });
  let size = batchSize;
  for (;;) {
    try {
      take(Math.ceil(Math.min(size, dataset.train.length) / workers));
      break;
    } catch (error) {
      if (!isOutOfMemory(error)) throw error;
      if (size <= workers) {
        const advice = 'Train a smaller model, or on a device with more memory.';
        throw outOfMemory({ where: 'auto-batch', batchSize: 1, device, advice }, error);
      }
      size = Math.max(workers, Math.floor(Math.min(size, dataset.train.length) / 2));
      // What the allocator keeps is cut for tensors twice the size.
      if (device.startsWith('cuda')) emptyCudaCache(device);
    }
  }
  size = agree?.(size) ?? size;
  if (size === batchSize) return undefined;
  const fitted = { batchSize: size, lr: (lr * size) / batchSize };
  onNote?.(
    `Batches of ${batchSize} images do not fit into the memory of ${device}: training with ${size}, and with ` +
      `a learning rate of ${short(fitted.lr)} in place of ${short(lr)}, in proportion, over the same epochs.`,
  );
  return fitted;
}

const short = (value: number): string => String(Number(value.toPrecision(4)));

/** Everything that a training holds at once, on black images. The second step has the optimizer's state. */
function trySteps(
  model: Trainable,
  { info }: Dataset,
  options: ResolvedTrainOptions,
  size: number,
  teacher: Trainable | undefined,
): void {
  const device = deviceOf(model);
  const precision = precisionOn(device, options.precision);
  const restoreModes = rememberModes(model);
  const before = stored(model);
  const random = rngDevices(device).map((name) => [name, getRngState(name)] as const);
  const optimizer = makeOptimizer(model, options);
  let copies: ReturnType<typeof weightCopies>;
  let ema: Ema | undefined;
  model.train();
  try {
    copies = weightCopies(model, precision);
    ema = options.emaDecay === null ? undefined : new Ema(model, options.emaDecay);
    for (let step = 0; step < 2; step++) {
      scope(() => {
        optimizer.zeroGrad();
        const shape = [size, info.channels, info.height, info.width];
        const images = zeros(shape, { device }).to(imageType(precision));
        const logits = F.atLeastFloat32(model.forward(images));
        if (teacher) noGrad(() => teacher.forward(images));
        F.crossEntropy(logits, zeros([size], { device, dtype: 'int64' })).backward();
        optimizer.step();
        ema?.update();
        // A GPU reports late what it could not do.
        synchronize(device);
      });
    }
  } finally {
    optimizer.zeroGrad();
    optimizer.dispose();
    ema?.dispose();
    copies?.dispose();
    for (const [tensor, values] of before) tensor.setValues(values);
    for (const [name, state] of random) setRngState(state, name);
    restoreModes();
  }
}

/** The values in the memory of the CPU: on the device they would count. */
function stored(model: Trainable): Map<Tensor, ArrayBufferView> {
  return new Map(
    Array.from(model.stateDict().values(), (tensor) => [tensor, tensor.toTypedArray()]),
  );
}
