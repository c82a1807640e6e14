import type { Tensor } from '@mamba-prune/libtorch';

/**
 * One step's samples as tensors on the device. The tensors are the source's own and the same for every
 * batch: they hold it until the next one is asked for. Copy what has to live longer; dispose nothing.
 */
export interface DeviceBatch {
  /** [size, channels, height, width], normalised: (pixel / 255 - mean) / std */
  readonly images: Tensor;
  /** int64 [size], the samples' own classes */
  readonly labels: Tensor;
  /** float32 [size, classes], rows sum to 1; given if and only if mixup or cutmix is asked for, in some epoch */
  readonly targets: Tensor | undefined;
  /** Samples of this worker. */
  readonly size: number;
  /** Number of the batch within its epoch. */
  readonly index: number;
}

/** As `BatchSource`, with tensors that are on the device already. */
export interface DeviceBatchSource {
  readonly batchesPerEpoch: number;
  /** Samples of a whole epoch, of all workers together. */
  readonly samplesPerEpoch: number;
  epoch(epoch: number, startBatch?: number): AsyncIterable<DeviceBatch>;
  /** Frees the tensors. */
  dispose(): void;
}
