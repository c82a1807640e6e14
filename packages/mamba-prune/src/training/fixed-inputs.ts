import { noGrad, scope, type Tensor } from '@mamba-prune/libtorch';
import type { Batch, DatasetInfo } from '../data/index.js';
import { type BatchTensors, toTensors } from './batches.js';

/** Tensors on the device that every batch of one size is copied into, for a captured step to read. */
export class FixedInputs {
  readonly #images: Tensor;
  readonly #labels: Tensor;
  readonly #targets: Tensor | undefined;

  readonly #info: Pick<DatasetInfo, 'channels' | 'height' | 'width'>;

  constructor(
    first: Batch,
    info: Pick<DatasetInfo, 'channels' | 'height' | 'width'>,
    device: string,
  ) {
    this.#info = info;
    // On the CPU these are the batch's own memory, which the loader uses again.
    const made = scope(() => {
      const { images, labels, targets } = toTensors(first, info, device);
      return [images, labels, ...(targets ? [targets] : [])].map((tensor) => tensor.clone());
    });
    [this.#images, this.#labels, this.#targets] = made.map((tensor) => tensor.keep()) as [
      Tensor,
      Tensor,
      Tensor | undefined,
    ];
  }

  fits({ size, targets }: Batch): boolean {
    return (
      size === this.#images.size(0) && (targets === undefined) === (this.#targets === undefined)
    );
  }

  /** Copies a batch that fits. */
  write(batch: Batch): void {
    scope(() => {
      noGrad(() => {
        const { images, labels, targets } = toTensors(batch, this.#info, 'cpu');
        this.#images.copy_(images);
        this.#labels.copy_(labels);
        if (targets) this.#targets?.copy_(targets);
      });
    });
  }

  /** The same tensors at every call; the images float32. */
  tensors(): BatchTensors {
    return { images: this.#images, labels: this.#labels, targets: this.#targets };
  }

  dispose(): void {
    for (const tensor of [this.#images, this.#labels, this.#targets]) tensor?.dispose();
  }
}
