import type { Tensor, nn } from '@mamba-prune/libtorch';
import type { PruningGroup } from '../pruning/groups.js';

/** Multiply-accumulates of one part of a model for one image. */
export interface MacsEntry {
  readonly name: string;
  readonly macs: number;
}

/** What every model has in common, so that training, pruning and export need not know which it is. */
export interface ImageModel extends nn.Module {
  /** JSON from which `createModelFromConfig` builds the same model again. */
  readonly config: ModelConfigBase;

  /**
   * @param images - normalised, shape [batch, channels, height, width]
   * @returns logits, shape [batch, classes]
   */
  forward(images: Tensor): Tensor;

  /** Every prunable dimension, in the order of the network. */
  pruningGroups(): PruningGroup[];

  /** Multiply-accumulates of one image, counted from the shapes the parameters really have. */
  macs(): MacsEntry[];

  /** A fresh model of the same architecture whose named groups have other widths. */
  withWidths(widths: Readonly<Record<string, number>>): ImageModel;
}

export interface ModelConfigBase {
  readonly family: string;
  readonly arch: string;
  readonly imageSize: number;
  readonly channels: number;
  readonly numClasses: number;
  readonly widths: Readonly<Record<string, number>>;
}
