// The affine layer.
import { type OptionKinds, checkOptions } from '../check-options.js';
import { ShapeError } from '../errors.js';
import { empty, type TensorOptions } from '../factories.js';
import * as F from './functional.js';
import type { Tensor } from '../tensor.js';
import { defaultInit } from './init.js';
import { Module } from './module.js';

export type PlaceOptions = Pick<TensorOptions, 'dtype' | 'device'>;

export const placeKinds: OptionKinds<PlaceOptions> = { dtype: 'string', device: 'string' };

export interface LinearOptions extends PlaceOptions {
  /** Whether there is a bias. Default `true`. */
  readonly bias?: boolean;
}

/** y = x W^T + b, with W of shape [outFeatures, inFeatures]. */
export class Linear extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly inFeatures: number;
  readonly outFeatures: number;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    checkOptions('Linear', options, { bias: 'boolean', ...placeKinds });
    const { bias = true, ...place } = options;
    const weight = empty([outFeatures, inFeatures], place);
    const offset = bias ? empty([outFeatures], place) : null;
    defaultInit(weight, offset);
    this.weight = this.parameter('weight', weight);
    this.bias = offset && this.parameter('bias', offset);
  }

  /**
   * @param x - shape [..., inFeatures]
   * @param residual - added to the result, shaped like it
   * @returns shape [..., outFeatures]
   * @throws ShapeError if the last dimension differs
   */
  forward(x: Tensor, residual?: Tensor): Tensor {
    if (x.shape.at(-1) !== this.inFeatures) {
      throw new ShapeError(
        `${this.label}: got ${x.shape.at(-1) ?? 'no'} input features (shape [${x.shape.join(', ')}]), ` +
          `expected ${this.inFeatures} in the last dimension.`,
      );
    }
    return F.linear(x, this.weight, { bias: this.bias, residual });
  }
}
