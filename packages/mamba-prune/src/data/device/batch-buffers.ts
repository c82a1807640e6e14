import { type DType, empty, scope, type Tensor } from '@mamba-prune/libtorch';
import type { DatasetInfo } from '../types.js';
import type { AugmentOutputs } from './augment-op.js';
import type { BatchPlan } from './batch-plan.js';
import { normalisation } from './device-split.js';
import type { DeviceBatch } from './types.js';

/** The fixed tensors that batches are made into, and what the kernel reads beside the images. */
export class BatchBuffers {
  readonly state: Tensor;
  readonly mean: Tensor;
  readonly std: Tensor;
  readonly out: AugmentOutputs;
  readonly #hasTargets: boolean;
  /** The first rows, for a last batch that is not full. */
  readonly #parts = new Map<number, AugmentOutputs>();

  constructor(info: DatasetInfo, plan: BatchPlan, device: string) {
    const { channels, height, width } = info;
    const { localBatch: rows } = plan;
    this.#hasTargets = plan.augments.haveTargets;
    const make = (shape: number[], dtype: DType) => empty(shape, { dtype, device }).keep();
    this.state = make([3], 'int64');
    this.out = {
      images: make([rows, channels, height, width], plan.dtype),
      labels: make([rows], 'int64'),
      targets: make([this.#hasTargets ? rows : 0, info.classes.length], 'float32'),
    };
    ({ mean: this.mean, std: this.std } = normalisation(info, device));
  }

  /** Sets seed, epoch and step on the device. */
  seek(seed: number, epoch: number, step: number): void {
    this.state.setValues(BigInt64Array.of(BigInt(seed), BigInt(epoch), BigInt(step)));
  }

  /** Where a batch of `size` rows goes. */
  room(size: number): AugmentOutputs {
    const { images, labels, targets } = this.out;
    if (size === labels.size(0)) return this.out;
    let part = this.#parts.get(size);
    if (!part) {
      const first = (t: Tensor) => t.narrow(0, 0, Math.min(size, t.size(0)));
      part = scope(() => ({
        images: first(images).keep(),
        labels: first(labels).keep(),
        targets: first(targets).keep(),
      }));
      this.#parts.set(size, part);
    }
    return part;
  }

  batch(size: number, index: number): DeviceBatch {
    const { images, labels, targets } = this.room(size);
    return { images, labels, targets: this.#hasTargets ? targets : undefined, size, index };
  }

  dispose(): void {
    for (const { images, labels, targets } of [this.out, ...this.#parts.values()]) {
      for (const tensor of [images, labels, targets]) tensor.dispose();
    }
    this.#parts.clear();
    for (const tensor of [this.state, this.mean, this.std]) tensor.dispose();
  }
}
