// Initial values, written in place. Formulas and the order of the random draws are those of
// torch.nn.init, so that a seed gives the same model as in PyTorch.
import { noGrad } from '../autograd.js';
import { type OptionKinds, checkOptions } from '../check-options.js';
import { ShapeError } from '../errors.js';
import { tensor as makeTensor } from '../factories.js';
import * as ops from '../generated/ops.js';
import type { Generator } from '../random.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

export type Nonlinearity = 'linear' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu';

export interface InitOptions {
  /** Where the numbers are drawn from. Default: the generator of the device. */
  readonly generator?: Generator | undefined;
}

export interface KaimingOptions extends InitOptions {
  /** Negative slope of leaky_relu. Default `0`. */
  readonly a?: number;
  /** Which side's variance is kept: forward (`fan_in`, the default) or backward. */
  readonly mode?: 'fan_in' | 'fan_out';
  /** What follows the layer. Default `leaky_relu`. */
  readonly nonlinearity?: Nonlinearity;
}

const initKinds: OptionKinds<InitOptions> = { generator: 'object' };
const kaimingKinds: OptionKinds<KaimingOptions> = {
  a: 'number',
  mode: 'string',
  nonlinearity: 'string',
  ...initKinds,
};
const xavierKinds = { gain: 'number', ...initKinds } as const;

/** Inputs and outputs of one unit, for a weight of shape [out, in, ...kernel]. */
export function fans(weight: Tensor): { fanIn: number; fanOut: number } {
  const [out, inputs, ...kernel] = weight.shape;
  if (out === undefined || inputs === undefined) {
    throw new ShapeError(
      `fans: got shape [${weight.shape.join(', ')}], expected [out, in, ...kernel]. Use uniform or normal.`,
    );
  }
  const field = kernel.reduce((product, size) => product * size, 1);
  return { fanIn: inputs * field, fanOut: out * field };
}

/** The recommended factor on the standard deviation (torch.nn.init.calculate_gain). */
export function gainOf(nonlinearity: Nonlinearity, a = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'sigmoid':
      return 1;
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.sqrt(2);
    case 'leaky_relu':
      return Math.sqrt(2 / (1 + a ** 2));
    case 'selu':
      return 3 / 4;
    default:
      throw new RangeError(
        `init: got the nonlinearity '${nonlinearity as string}', expected linear, sigmoid, tanh, relu, leaky_relu or selu.`,
      );
  }
}

export function constant(tensor: Tensor, value: number): Tensor {
  return noGrad(() => tensor.fill_(value));
}

/** Uniform on [low, high). */
export function uniform(tensor: Tensor, low = 0, high = 1, options: InitOptions = {}): Tensor {
  checkOptions('uniform', options, initKinds);
  return noGrad(() => ops.uniform_(tensor, low, high, options.generator));
}

export function normal(tensor: Tensor, mean = 0, std = 1, options: InitOptions = {}): Tensor {
  checkOptions('normal', options, initKinds);
  return noGrad(() => ops.normal_(tensor, mean, std, options.generator));
}

/** He et al. 2015, https://arxiv.org/abs/1502.01852, uniform. */
export function kaimingUniform(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd('kaimingUniform', tensor, options);
  return uniform(tensor, -bound, bound, { generator: options.generator });
}

/** He et al. 2015, https://arxiv.org/abs/1502.01852, normal. */
export function kaimingNormal(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const std = kaimingStd('kaimingNormal', tensor, options);
  return normal(tensor, 0, std, { generator: options.generator });
}

function kaimingStd(where: string, tensor: Tensor, options: KaimingOptions): number {
  checkOptions(where, options, kaimingKinds);
  const { a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu' } = options;
  if (!['fan_in', 'fan_out'].includes(mode)) {
    throw new RangeError(`${where}: got mode '${mode}', expected fan_in or fan_out.`);
  }
  const { fanIn, fanOut } = fans(tensor);
  return gainOf(nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fanIn : fanOut);
}

/** Glorot and Bengio 2010, uniform. */
export function xavierUniform(
  tensor: Tensor,
  given: InitOptions & { readonly gain?: number } = {},
): Tensor {
  checkOptions('xavierUniform', given, xavierKinds);
  const { gain = 1, ...options } = given;
  const { fanIn, fanOut } = fans(tensor);
  const bound = Math.sqrt(3) * (gain * Math.sqrt(2 / (fanIn + fanOut)));
  return uniform(tensor, -bound, bound, options);
}

/** Glorot and Bengio 2010, normal. */
export function xavierNormal(
  tensor: Tensor,
  given: InitOptions & { readonly gain?: number } = {},
): Tensor {
  checkOptions('xavierNormal', given, xavierKinds);
  const { gain = 1, ...options } = given;
  const { fanIn, fanOut } = fans(tensor);
  return normal(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)), options);
}

export interface TruncNormalOptions extends InitOptions {
  readonly mean?: number;
  readonly std?: number;
  /** Lower bound of the values (not in standard deviations). Default `-2`. */
  readonly low?: number;
  readonly high?: number;
}

const truncNormalKinds: OptionKinds<TruncNormalOptions> = {
  mean: 'number',
  std: 'number',
  low: 'number',
  high: 'number',
  ...initKinds,
};

/** Normal, with values outside [low, high] drawn again (by the inverse of the distribution). */
export function truncNormal(tensor: Tensor, options: TruncNormalOptions = {}): Tensor {
  checkOptions('truncNormal', options, truncNormalKinds);
  const { mean = 0, std = 1, low = -2, high = 2, generator } = options;
  const [from, to] = [normalCdf((low - mean) / std), normalCdf((high - mean) / std)];
  return noGrad(() => {
    ops.uniform_(tensor, 2 * from - 1, 2 * to - 1, generator);
    ops.erfinv_(tensor);
    tensor.mul_(std * Math.sqrt(2)).add_(mean);
    return ops.clamp_(tensor, low, high);
  });
}

function normalCdf(x: number): number {
  // JavaScript has no erf.
  return scope(() => (1 + ops.erf(makeTensor(x / Math.sqrt(2), { dtype: 'float64' })).item()) / 2);
}

/**
 * PyTorch's start values of Linear and Conv: weight by `kaimingUniform` with a = sqrt(5), that is
 * uniform within 1/sqrt(fanIn), bias uniform within the same. The weight is drawn first.
 */
export function defaultInit(weight: Tensor, bias: Tensor | null): void {
  // The detour over sqrt(5) is PyTorch's: shortened, the last bit of the bound would differ.
  kaimingUniform(weight, { a: Math.sqrt(5) });
  if (!bias) return;
  const { fanIn } = fans(weight);
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  uniform(bias, -bound, bound);
}
