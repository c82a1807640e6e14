/** Batches that are made on the device, as a training takes them. */
import { setImmediate as turn } from 'node:timers/promises';
import { DeviceBatches } from '../data/index.js';
import type { StreamedBatches } from '../data/device/streamed-batches.js';
import type { BatchSource, BatchTensors, LaunchedBatch } from './batches.js';

export type OnDevice = DeviceBatches | StreamedBatches;

interface Share {
  readonly rank?: number;
  readonly workers?: number;
}

/**
 * @param batchSize - of all workers together
 * @param share - whose rows the batches have
 */
export function sourceOf(
  batches: OnDevice,
  batchSize: number,
  { rank = 0, workers = 1 }: Share = {},
): BatchSource {
  const { batchesPerEpoch, samplesPerEpoch } = batches;
  /** Of this worker's part of a batch, and the whole. */
  const sizes = (index: number) => {
    const globalSize = Math.min(batchSize, samplesPerEpoch - index * batchSize);
    const edge = (n: number) => Math.floor((n * globalSize) / workers);
    const size = edge(rank + 1) - edge(rank);
    return workers === 1 ? { size } : { size, globalSize };
  };

  async function* launched(even: DeviceBatches, epoch: number, start: number) {
    even.seek(epoch, start);
    // The device counts the batches: one object stands for all, whose `next` may be part of a graph.
    const { augment } = even;
    const batch: LaunchedBatch = { ...sizes(0), augment, next: () => even.next() };
    for (let index = start; index < batchesPerEpoch; index++) {
      // One turn of the event loop: signals and timers get their chance.
      await turn();
      yield batch;
    }
  }

  async function* placed(epoch: number, start: number): AsyncGenerator<LaunchedBatch, void, void> {
    let index = start;
    for await (const batch of batches.epoch(epoch, start)) {
      // Those in which this worker has no row are left out there; but all workers count the same.
      while (index < batch.index) yield { ...sizes(index++), next: noRows };
      // Made already, into tensors that stay the same.
      yield { ...sizes(index++), next: () => batch };
    }
    while (index < batchesPerEpoch) yield { ...sizes(index++), next: noRows };
  }

  return {
    batchesPerEpoch,
    samplesPerEpoch,
    epoch: (epoch, start = 0) =>
      batches instanceof DeviceBatches && batches.isEven
        ? launched(batches, epoch, start)
        : placed(epoch, start),
  };
}

function noRows(): BatchTensors {
  throw new RangeError('LaunchedBatch: got a batch without images, expected it to be left out.');
}
