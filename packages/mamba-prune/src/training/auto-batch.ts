/** Finds a batch size that the device has memory for, before a training begins. */
import {
  emptyCudaCache,
  getRngState,
  ops,
  setRngState,
  synchronize,
  type Tensor,
  zeros,
} from '@mamba-prune/libtorch';
import type { Dataset } from '../data/index.js';
import { requireDataset } from '../data/require-dataset.js';
import { isOutOfMemory, outOfMemory } from '../memory.js';
import { rememberModes } from '../models/modes.js';
import { requireModel } from '../models/require-model.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import type { BatchTensors } from './batches.js';
import { DeviceExecution } from './device-execution.js';
import { deviceOf } from './evaluate.js';
import type { TrainHooks } from './hooks.js';
import { HostExecution } from './host-execution.js';
import { resolveTrainOptions } from './options.js';
import { rngDevices } from './saving.js';
import type { StepNumbers } from './step-context.js';
import { StepParts } from './step-parts.js';
import { type Execution, takeStep } from './step.js';
import { checkTeacher } from './teacher.js';
import type { ResolvedTrainOptions, TrainOptions } from './train-options.js';
import type { Trainable } from './trainable.js';

export interface FittedBatch {
  readonly batchSize: number;
  readonly lr: number;
}

export interface FitOptions {
  /**
   * Those of the training. What they do in a step (`taskLoss`, `extraLosses`, `distillation`, `afterStep`) they do in
   * the steps that are tried too, and `onNote` is told of the size found; the others are not called.
   */
  readonly hooks?: TrainHooks | undefined;
  /** That share every batch, this one among them. Default 1. */
  readonly workers?: number | undefined;
  /** What all workers take, of what fits here. */
  readonly agree?: ((batchSize: number) => number) | undefined;
  /** What must not run out of memory with so many images. By default two training steps. */
  readonly attempt?: ((batchSize: number) => void) | undefined;
}

const fitKinds: OptionKinds<FitOptions> = {
  hooks: 'object',
  workers: 'number',
  agree: 'function',
  attempt: 'function',
};

/**
 * Halves the batch size until two steps of training fit into the device's memory. The learning rate
 * falls in proportion (Goyal et al. 2017, arXiv 1706.02677, section 2.1, read backwards) and the epochs
 * stay, so that there are more steps, each of them smaller. The model, where it is, and the random
 * generators are afterwards what they were; a teacher is in evaluation mode.
 *
 * @returns undefined if nothing has to change
 * @throws OutOfMemoryError if one image does not fit; UsageError for options out of range or a teacher that
 *   does not fit
 */
export function fitBatchSize(
  model: Trainable,
  dataset: Dataset,
  options: TrainOptions,
  how: FitOptions = {},
): FittedBatch | undefined {
  requireModel('fitBatchSize', model);
  requireDataset('fitBatchSize', dataset);
  checkOptions('fitBatchSize', how, fitKinds);
  const { hooks = {}, attempt, workers = 1, agree } = how;
  const resolved = resolveTrainOptions(options, dataset.info);
  const { batchSize, lr } = resolved;
  const device = deviceOf(model);
  if (hooks.distillation) checkTeacher(hooks.distillation, model, dataset.info);
  const take =
    attempt ??
    ((size) => {
      trySteps(model, dataset, resolved, hooks, size, workers);
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
  hooks.onNote?.(
    `Batches of ${batchSize} images do not fit into the memory of ${device}: training with ${size}, and with ` +
      `a learning rate of ${short(fitted.lr)} in place of ${short(lr)}, in proportion, over the same epochs.`,
  );
  return fitted;
}

const short = (value: number): string => String(Number(value.toPrecision(4)));

/**
 * Two steps of the training as they will be taken, on black images: the first one, and the last, in which terms of the
 * loss that begin late take part. The second has the optimizer's state. A loss that is not finite
 * is no obstacle: what is looked for is memory.
 */
function trySteps(
  model: Trainable,
  dataset: Dataset,
  options: ResolvedTrainOptions,
  hooks: TrainHooks,
  size: number,
  workers: number,
): void {
  const device = deviceOf(model);
  const restoreModes = rememberModes(model);
  const before = stored(model);
  const random = rngDevices(device).map((name) => [name, getRngState(name)] as const);
  let parts: StepParts | undefined;
  let execution: Execution | undefined;
  model.train();
  try {
    parts = new StepParts(model, options, hooks);
    execution = device.startsWith('cuda')
      ? new DeviceExecution(parts)
      : new HostExecution(parts, () => undefined);
    for (const numbers of firstAndLast(dataset, options, size * workers)) {
      execution.prepare(numbers);
      const tensors = () => blackBatch(dataset, options, size, device);
      takeStep(parts, execution, { tensors, batch: { size } });
      execution.count(size);
      // A GPU reports late what it could not do.
      synchronize(device);
    }
  } finally {
    parts?.optimizer.zeroGrad();
    execution?.dispose();
    parts?.dispose();
    for (const [tensor, values] of before) tensor.setValues(values);
    for (const [name, state] of random) setRngState(state, name);
    restoreModes();
  }
}

/** The numbers of a training's first and last step. */
function firstAndLast(
  { train }: Dataset,
  { epochs, lr, maxTrainImages }: ResolvedTrainOptions,
  batchSize: number,
): StepNumbers[] {
  const images = Math.min(train.length, maxTrainImages ?? Infinity);
  const stepsPerEpoch = Math.max(1, Math.floor(images / batchSize));
  const totalSteps = epochs * stepsPerEpoch;
  const at = (step: number): StepNumbers => ({
    epoch: Math.floor(step / stepsPerEpoch),
    step,
    totalSteps,
    stepsPerEpoch,
    progress: step / stepsPerEpoch,
    lr,
  });
  return [at(0), at(totalSteps - 1)];
}

/** Of class 0; with soft targets where the training has them. */
function blackBatch(
  { info }: Dataset,
  { augment: { mixup = 0, cutmix = 0 } }: ResolvedTrainOptions,
  size: number,
  device: string,
): BatchTensors {
  const labels = zeros([size], { device, dtype: 'int64' });
  const mixes = mixup > 0 || cutmix > 0;
  return {
    images: zeros([size, info.channels, info.height, info.width], { device }),
    labels,
    targets: mixes ? ops.oneHot(labels, info.classes.length).to('float32') : undefined,
  };
}

/** The values in the memory of the CPU: on the device they would count. */
function stored(model: Trainable): Map<Tensor, ArrayBufferView> {
  return new Map(
    Array.from(model.stateDict().values(), (tensor) => [tensor, tensor.toTypedArray()]),
  );
}
