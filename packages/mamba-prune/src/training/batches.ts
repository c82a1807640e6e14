/** From a loader's typed arrays to tensors. */
import { type DType, fromTypedArray } from '@mamba-prune/libtorch';
import type { Batch, DatasetInfo, DeviceBatch, ImageSplit } from '../data/index.js';
import { Random, Stage } from '../data/random.js';

/** What training and evaluation need of a loader; `BatchLoader` is one. On a GPU batches may be made there. */
export interface BatchSource {
  readonly batchesPerEpoch: number;
  readonly samplesPerEpoch: number;
  epoch(epoch: number, startBatch?: number): AsyncIterable<StepBatch>;
}

/** Images in the type that the model computes in, or still float32. */
export type BatchTensors = Pick<DeviceBatch, 'images' | 'labels' | 'targets'>;

/**
 * A batch that a source makes on the device when `next` is called. Training takes it as it is; where the step is
 * captured, `next` is part of the graph.
 */
export interface LaunchedBatch {
  /** Images; the same number for as long as it can be. */
  readonly size: number;
  /** Of all workers' shares of the batch together; left out where the batch is whole. */
  readonly globalSize?: number;
  /**
   * The tensors of the next batch. It only launches work of the device, and what tells the batches apart
   * (their number, say) lies and is advanced there: a replay of what one call launched is the next one.
   * The caller's scope frees what was made.
   */
  next(): BatchTensors;
  /**
   * What `next` launches with as constants: a captured step is right for batches with this same object
   * alone. Left out where they differ in their tensors only.
   */
  readonly augment?: object;
}

/** What a step is given. */
export type StepBatch = Batch | LaunchedBatch;

/** Images of this worker, and of all. */
export type BatchSize = Pick<StepBatch, 'size' | 'globalSize'>;

export function isOnDevice(batch: StepBatch): batch is LaunchedBatch {
  return 'next' in batch;
}

/**
 * Shares the batch's memory on the CPU: use the tensors before the batch is gone or written to.
 * @param imageType - of the images, which are converted on the device
 */
export function toTensors(
  batch: StepBatch,
  info: Pick<DatasetInfo, 'channels' | 'height' | 'width'>,
  device: string,
  imageType: DType = 'float32',
): BatchTensors {
  if (isOnDevice(batch)) {
    const made = batch.next();
    return { ...made, images: made.images.to(imageType) };
  }
  const { size } = batch;
  const place = (values: Float32Array, shape: readonly number[]) =>
    fromTypedArray(values, shape, { copy: false }).to(device);
  return {
    images: place(batch.images, [size, info.channels, info.height, info.width]).to(imageType),
    labels: fromTypedArray(batch.labels, [size]).to('int64').to(device),
    targets: batch.targets && place(batch.targets, [size, batch.targets.length / size]),
  };
}

/**
 * A split cut down to `count` images, taken evenly over the classes and the same for every seed-equal
 * call; the split itself if it has no more.
 */
export function limitSplit(split: ImageSplit, count: number | null, seed: number): ImageSplit {
  if (count === null || count >= split.length) return split;
  const byClass = new Map<number, number[]>();
  for (let i = 0; i < split.length; i++) {
    const label = split.label(i);
    const members = byClass.get(label);
    if (members) members.push(i);
    else byClass.set(label, [i]);
  }
  const random = new Random();
  const queues = [...byClass]
    .sort(([a], [b]) => a - b)
    .map(([label, members]) => {
      random.seed(seed, Stage.split, 1, label);
      for (let i = members.length - 1; i > 0; i--) {
        const j = random.below(i + 1);
        [members[i], members[j]] = [members[j] as number, members[i] as number];
      }
      return members;
    });
  // One of each class in turn, until there are enough; then stored order, which reads fastest.
  const chosen: number[] = [];
  for (let round = 0; chosen.length < count; round++) {
    for (const members of queues) {
      const index = members[round];
      if (index !== undefined && chosen.length < count) chosen.push(index);
    }
  }
  chosen.sort((a, b) => a - b);
  const at = (index: number) => chosen[index] as number;
  const original = (indices: ArrayLike<number>) => Uint32Array.from(indices, at);
  const cropped = split.readCropped?.bind(split);
  return {
    length: count,
    label: (index) => split.label(at(index)),
    read: (indices) => split.read(original(indices)),
    ...(cropped && { readCropped: (indices, crop) => cropped(original(indices), crop) }),
  };
}
