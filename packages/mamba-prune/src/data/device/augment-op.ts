// The operator that makes a batch on the device, with this package's names for its options.
import { callOperator, type DType, type Tensor } from '@mamba-prune/libtorch';
import type { ResolvedAugment } from '../augment/options.js';

/** Output types of the operator. */
export type ImageDType = Extract<DType, 'float32' | 'bfloat16' | 'float16'>;

/** What a batch is made from; all on one device. */
export interface AugmentInputs {
  /** uint8 [count, channels, height, width] */
  images: Tensor;
  /** int64 [count] */
  labels: Tensor;
  /** int64 [rows]: images of the epoch in their order */
  order: Tensor;
  /** int64 [3]: seed, epoch, step; the step grows by one with each batch */
  state: Tensor;
  /** float32 [channels], of pixels scaled to 0..1 */
  mean: Tensor;
  std: Tensor;
  /** int64 [rows]: what the random choices hang on; left out: the numbers in `order` */
  samples?: Tensor;
}

/** Where a batch goes. */
export interface AugmentOutputs {
  /** [batch, channels, height, width], normalised */
  images: Tensor;
  /** int64 [batch] */
  labels: Tensor;
  /** float32 [batch, classes]; [0, classes] if nothing is mixed */
  targets: Tensor;
}

/** Which rows of the batch are made here. */
export interface AugmentRows {
  /** Rows made. */
  batch: number;
  /** The first of them in the whole batch. */
  firstRow: number;
  /** Rows of the whole batch, which all workers make together. */
  globalBatch: number;
  classes: number;
}

/**
 * Makes the next batch into `out`: device work only, no copy from the host and no wait for it.
 * @throws TorchError naming the argument that does not fit
 */
export function augmentInto(
  inputs: AugmentInputs,
  out: AugmentOutputs,
  rows: AugmentRows,
  augment: ResolvedAugment,
): void {
  const { images, labels, order, state, mean, std, samples } = inputs;
  const { resizedCrop: crop, randAugment } = augment;
  callOperator(
    'mamba_prune::augment_batch_',
    images,
    labels,
    order,
    state,
    mean,
    std,
    out.images,
    out.labels,
    out.targets,
    rows.batch,
    rows.firstRow,
    rows.globalBatch,
    rows.classes,
    augment.padCrop,
    augment.flip,
    crop ? [...crop.scale, ...crop.ratio] : [],
    randAugment?.ops ?? 0,
    randAugment?.magnitude ?? 0,
    augment.sampling === 'nearest',
    augment.cutout,
    augment.mixup,
    augment.cutmix,
    augment.mixProbability,
    true,
    samples,
    augment.erasing,
  );
}
