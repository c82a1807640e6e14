// Convolutions as layers.
import { type OptionKinds, checkOptions } from '../check-options.js';
import { ShapeError } from '../errors.js';
import { empty } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Tensor } from '../tensor.js';
import { defaultInit } from './init.js';
import { type PlaceOptions, placeKinds } from './linear.js';
import { Module } from './module.js';
import { weightFor } from './precision.js';

export interface ConvOptions<Size> extends PlaceOptions {
  /** Distance of the places that the kernel is put at. Default `1`. */
  readonly stride?: Size;
  /** Zeros added at both ends. Default `0`. */
  readonly padding?: Size;
  /** Distance of the kernel's points. Default `1`. */
  readonly dilation?: Size;
  /** Channels are split into this many groups that do not mix. Default `1`. */
  readonly groups?: number;
  /** Whether there is a bias. Default `true`. */
  readonly bias?: boolean;
}

const convKinds: OptionKinds<ConvOptions<Pair>> = {
  stride: ['number', 'array'],
  padding: ['number', 'array'],
  dilation: ['number', 'array'],
  groups: 'number',
  bias: 'boolean',
  ...placeKinds,
};

type Pair = number | readonly [number, number];

/** What one and two dimensions have in common. */
abstract class Conv<Size extends Pair> extends Module {
  /** Shape [outChannels, inChannels / groups, ...kernel]. */
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  readonly stride: Size | 1;
  readonly padding: Size | 0;
  readonly dilation: Size | 1;
  readonly groups: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: readonly number[],
    options: ConvOptions<Size>,
  ) {
    super();
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = kernelSize;
    checkOptions(this.constructor.name, options, convKinds);
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, ...place } = options;
    if (!(groups > 0) || inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ShapeError(
        `${this.label}: got ${inChannels} input and ${outChannels} output channels in ${groups} groups, ` +
          'expected both to be multiples of the groups.',
      );
    }
    this.stride = stride;
    this.padding = padding;
    this.dilation = dilation;
    this.groups = groups;
    const weight = empty([outChannels, inChannels / groups, ...kernelSize], place);
    const offset = bias ? empty([outChannels], place) : null;
    defaultInit(weight, offset);
    this.weight = this.parameter('weight', weight);
    this.bias = offset && this.parameter('bias', offset);
  }

  protected check(x: Tensor, dims: string): void {
    if (x.ndim !== this.kernelSize.length + 2) {
      throw new ShapeError(
        `${this.label}: got shape [${x.shape.join(', ')}], expected [batch, ${this.inChannels}, ${dims}].`,
      );
    }
    if (x.shape[1] !== this.inChannels) {
      throw new ShapeError(
        `${this.label}: got ${x.shape[1]} input channels, expected ${this.inChannels}. ` +
          'Prune it with the same keep list as the layer before it.',
      );
    }
  }
}

/** Convolution over a sequence: [batch, inChannels, length] to [batch, outChannels, length']. */
export class Conv1d extends Conv<number> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: ConvOptions<number> = {},
  ) {
    super(inChannels, outChannels, [kernelSize], options);
  }

  forward(x: Tensor): Tensor {
    this.check(x, 'length');
    const { weight, bias, stride, padding, dilation, groups } = this;
    const [w, b] = [weightFor(weight, x.dtype), weightFor(bias, x.dtype)];
    return ops.conv1d(x, w, b, stride, padding, dilation, groups);
  }
}

/** Convolution over an image: [batch, inChannels, height, width] to [batch, outChannels, ...]. */
export class Conv2d extends Conv<Pair> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    options: ConvOptions<Pair> = {},
  ) {
    const kernel = typeof kernelSize === 'number' ? [kernelSize, kernelSize] : kernelSize;
    super(inChannels, outChannels, kernel, options);
  }

  forward(x: Tensor): Tensor {
    this.check(x, 'height, width');
    const { weight, bias, stride, padding, dilation, groups } = this;
    const [w, b] = [weightFor(weight, x.dtype), weightFor(bias, x.dtype)];
    return ops.conv2d(x, w, b, stride, padding, dilation, groups);
  }
}
