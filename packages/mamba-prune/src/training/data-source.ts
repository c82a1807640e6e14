/** Where a training's batches come from: memory of the device, or the host. */
import { setImageThreads } from '@mamba-prune/libtorch/images';
import {
  BatchLoader,
  DeviceBatches,
  type DeviceBatchOptions,
  DeviceSplit,
  type ImageSplit,
} from '../data/index.js';
import { StreamedBatches } from '../data/device/streamed-batches.js';
import { deviceBytes, whyNotOnDevice } from '../data/device/device-split.js';
import { isOutOfMemory } from '../memory.js';
import { type BatchSource, limitSplit } from './batches.js';
import { checkShares } from './data-parallel/data-parallel.js';
import { type OnDevice, sourceOf } from './device-source.js';
import { plainEnd } from './plain-epochs.js';
import type { Session } from './session.js';

/** libtorch does not tell how much memory is free; the weights and activations need the most of it. */
const mostBytes = 4 * 2 ** 30;

export interface Sources {
  readonly train: BatchSource;
  readonly test: BatchSource;
  /** For the metrics: `device`, or why training images are not there; undefined on the CPU. */
  readonly data: string | undefined;
  close(): Promise<void>;
}

type SourcesSession = Pick<
  Session,
  'dataset' | 'options' | 'device' | 'imageType' | 'control' | 'hooks' | 'parallel'
>;

/**
 * On a GPU the images lie in its memory and are augmented there; those that cannot are sent batch by
 * batch. On the CPU the loader makes the batches.
 * @param budgetBytes - of device memory, for training and test images together
 * @throws UsageError if a worker would get no image; DataError for an empty split
 */
export async function makeSources(
  session: SourcesSession,
  budgetBytes = mostBytes,
): Promise<Sources> {
  const { dataset, options, control, parallel, device, hooks } = session;
  const { seed, batchSize, augment, evalBatchSize } = options;
  const lastAugment = plainEnd(options);
  if (control.dataThreads !== undefined && control.dataThreads > 0) {
    setImageThreads(control.dataThreads);
  }
  const train = limitSplit(dataset.train, options.maxTrainImages, seed);
  const test = limitSplit(dataset.test, options.maxTestImages, seed);
  if (parallel) checkShares(Math.min(batchSize, train.length), parallel.workers);
  const trainPlan: Plan = {
    batchSize,
    seed,
    augment,
    ...(lastAugment && { lastAugment }),
    shuffle: true,
    // A last batch of a few images would move the weights as much as a full one.
    dropLast: train.length >= batchSize,
  };
  const testPlan: Plan = { batchSize: evalBatchSize };
  if (!(control.deviceData ?? device.startsWith('cuda'))) {
    const threads = control.dataThreads ?? 0;
    const loader = onHost(session, train, trainPlan, threads);
    return {
      train: loader,
      test: onHost(session, test, testPlan),
      data: undefined,
      close: () => loader.close(),
    };
  }
  const made = await onDevice(session, train, trainPlan, budgetBytes);
  try {
    const left = budgetBytes - (made.obstacle === undefined ? bytesOf(session, train) : 0);
    const tested = await onDevice(session, test, testPlan, left);
    if (made.obstacle !== undefined) {
      hooks.onNote?.(`The training images stay in the memory of the host: ${made.obstacle}.`);
    }
    return {
      train: made.source,
      test: tested.source,
      data: made.obstacle ?? 'device',
      close: async () => {
        await made.close();
        await tested.close();
      },
    };
  } catch (error) {
    await made.close();
    throw error;
  }
}

type Plan = Omit<DeviceBatchOptions, 'rank' | 'workers' | 'dtype'>;

interface Made {
  readonly source: BatchSource;
  /** Why the images are not in the memory of the device. */
  readonly obstacle: string | undefined;
  close(): Promise<void> | void;
}

function onHost(
  { dataset, parallel }: SourcesSession,
  split: ImageSplit,
  plan: Plan,
  threads = 0,
): BatchLoader {
  const share = parallel && { share: parallel.share };
  return new BatchLoader(split, dataset.info, { ...plan, ...share, threads });
}

async function onDevice(
  session: SourcesSession,
  split: ImageSplit,
  plan: Plan,
  budgetBytes: number,
): Promise<Made> {
  const { dataset, device, parallel, imageType, control } = session;
  const { info } = dataset;
  const workers = parallel?.workers ?? 1;
  if (plan.batchSize % workers !== 0) {
    const loader = onHost(session, split, plan, control.dataThreads);
    const obstacle = `batches of ${plan.batchSize} images cannot be divided evenly among ${workers} workers`;
    return { source: loader, obstacle, close: () => loader.close() };
  }
  const options: DeviceBatchOptions = {
    ...plan,
    dtype: imageType,
    rank: parallel?.rank ?? 0,
    workers,
  };
  let obstacle =
    whyNotOnDevice(split, info, { augment: plan.augment, budgetBytes }) ??
    whyNotOnDevice(split, info, { augment: plan.lastAugment?.augment });
  const uploaded = obstacle === undefined ? await upload(session, split) : undefined;
  if (uploaded instanceof DeviceSplit) {
    const close = () => {
      uploaded.dispose();
    };
    try {
      return made(new DeviceBatches(uploaded, options), options, undefined, close);
    } catch (error) {
      close();
      throw error;
    }
  }
  obstacle ??= uploaded;
  return made(new StreamedBatches(split, info, { ...options, device }), options, obstacle);
}

function made(
  batches: OnDevice,
  options: DeviceBatchOptions,
  obstacle?: string,
  close?: () => void,
): Made {
  return {
    source: sourceOf(batches, options.batchSize, options),
    obstacle,
    close: () => {
      batches.dispose();
      close?.();
    },
  };
}

/** @returns the reason if it cannot be done now */
async function upload(
  { dataset, device, control, parallel }: SourcesSession,
  split: ImageSplit,
): Promise<DeviceSplit | string> {
  // Workers stop together, which they can at their steps only.
  const signal = parallel ? undefined : control.signal;
  try {
    return await DeviceSplit.upload(split, dataset.info, { device, ...(signal && { signal }) });
  } catch (error) {
    if (isOutOfMemory(error)) return `the memory of ${device} does not suffice`;
    if (signal?.aborted === true) return 'the training was stopped while they were sent';
    throw error;
  }
}

function bytesOf({ dataset }: SourcesSession, split: ImageSplit): number {
  return deviceBytes(split.length, dataset.info);
}
