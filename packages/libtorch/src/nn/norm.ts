// Normalisations as layers.
import { type OptionKinds, checkOptions } from '../check-options.js';
import { ShapeError, SingleValueError } from '../errors.js';
import { ones, zeros } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { type PlaceOptions, placeKinds } from './linear.js';
import { Module } from './module.js';
import { needsFloat32, weightFor } from './precision.js';

export interface LayerNormOptions extends PlaceOptions {
  /** Added to the variance. Default `1e-5`. */
  readonly eps?: number;
  /** Whether there are a weight and a bias. Default `true`. */
  readonly affine?: boolean;
}

const layerNormKinds: OptionKinds<LayerNormOptions> = {
  eps: 'number',
  affine: 'boolean',
  ...placeKinds,
};

/** Normalises over the last dimensions. */
export class LayerNorm extends Module {
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;

  constructor(normalizedShape: number | readonly number[], options: LayerNormOptions = {}) {
    super();
    checkOptions('LayerNorm', options, layerNormKinds);
    const { eps = 1e-5, affine = true, ...place } = options;
    const shape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    this.normalizedShape = shape;
    this.eps = eps;
    this.weight = affine ? this.parameter('weight', ones(shape, place)) : null;
    this.bias = affine ? this.parameter('bias', zeros(shape, place)) : null;
  }

  /** @param x - shape [..., ...normalizedShape] */
  forward(x: Tensor): Tensor {
    const expected = this.normalizedShape;
    const from = x.ndim - expected.length;
    if (from < 0 || expected.some((size, i) => x.shape[from + i] !== size)) {
      throw new ShapeError(
        `${this.label}: got shape [${x.shape.join(', ')}], expected [..., ${expected.join(', ')}].`,
      );
    }
    const [weight, bias] = [weightFor(this.weight, x.dtype), weightFor(this.bias, x.dtype)];
    return ops.layerNorm(x, expected, weight, bias, this.eps);
  }
}

export interface BatchNormOptions extends PlaceOptions {
  /** Added to the variance. Default `1e-5`. */
  readonly eps?: number;
  /** Share of the newest batch in the running statistics; null averages over all batches. */
  readonly momentum?: number | null;
  /** Whether there are a weight and a bias. Default `true`. */
  readonly affine?: boolean;
}

const batchNormKinds: OptionKinds<BatchNormOptions> = {
  eps: 'number',
  momentum: ['number', 'null'],
  affine: 'boolean',
  ...placeKinds,
};

/** Normalises every channel over batch, height and width. */
export class BatchNorm2d extends Module {
  readonly eps: number;
  /** As in the options; may be changed at any time. */
  momentum: number | null;
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  readonly numBatchesTracked: Tensor;
  readonly numFeatures: number;

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    super();
    this.numFeatures = numFeatures;
    checkOptions('BatchNorm2d', options, batchNormKinds);
    const { eps = 1e-5, momentum = 0.1, affine = true, ...place } = options;
    const shape = [numFeatures];
    this.eps = eps;
    this.momentum = momentum;
    this.weight = affine ? this.parameter('weight', ones(shape, place)) : null;
    this.bias = affine ? this.parameter('bias', zeros(shape, place)) : null;
    this.runningMean = this.buffer('running_mean', zeros(shape, place));
    this.runningVar = this.buffer('running_var', ones(shape, place));
    const count = zeros([], { ...place, dtype: 'int64' });
    this.numBatchesTracked = this.buffer('num_batches_tracked', count);
  }

  /**
   * @param x - shape [batch, numFeatures, height, width]
   * @throws ShapeError for another shape; SingleValueError in training for a single value per channel, which PyTorch refuses too
   */
  forward(x: Tensor): Tensor {
    if (x.ndim !== 4 || x.shape[1] !== this.numFeatures) {
      throw new ShapeError(
        `${this.label}: got shape [${x.shape.join(', ')}], ` +
          `expected [batch, ${this.numFeatures}, height, width].`,
      );
    }
    let momentum = this.momentum ?? 0;
    if (this.training) {
      // Their variance is 0/0, and would stay in the running one for ever. (No images at all change nothing.)
      if (x.numel === this.numFeatures) {
        throw new SingleValueError(
          `${this.label}: got shape [${x.shape.join(', ')}] in training, one value per channel, expected at least two: ` +
            'a single value has no variance. Give larger batches or images, or set the layer to eval().',
        );
      }
      this.numBatchesTracked.add_(1);
      if (this.momentum === null) momentum = 1 / this.numBatchesTracked.item();
    }
    const y = ops.batchNorm(
      needsFloat32(x) ? x.to('float32') : x,
      this.weight,
      this.bias,
      this.runningMean,
      this.runningVar,
      this.training,
      momentum,
      this.eps,
      true,
    );
    return y.to(x.dtype);
  }
}
