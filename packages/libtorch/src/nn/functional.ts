// Functions without state, under PyTorch's names in camelCase (torch.nn.functional).
import { type OptionKinds, checkOptions } from '../check-options.js';
import { callOperator, hasOperator } from '../dispatch.js';
import { ShapeError } from '../errors.js';
import { empty } from '../factories.js';
import * as ops from '../generated/ops.js';
import { isGradEnabled, noGrad } from '../autograd.js';
import type { Tensor } from '../tensor.js';
import { isLowPrecision } from '../weight-copies.js';
import { causalConvOfAnyWidth, kernelLimits, scanInParts } from './general-paths.js';
import { atLeastFloat32, maybeFloat32, needsFloat32, weightFor } from './precision.js';

export { gelu, relu, silu, softplus } from '../generated/ops.js';
export { kernelLimits } from './general-paths.js';
export { atLeastFloat32, meanFloat32, weightFor } from './precision.js';
export { type TokenOrder, reorderTokens } from './token-order.js';

const reductions = { none: 0, mean: 1, sum: 2 } as const;

export interface CrossEntropyOptions {
  /** Share of every target spread evenly over all classes. Default `0`. */
  readonly labelSmoothing?: number;
  /** `mean` or `sum` over the batch, or `none`: one loss per sample. Default `mean`. */
  readonly reduction?: keyof typeof reductions;
  /** Weight of each class, shape [classes]. */
  readonly weight?: Tensor | undefined;
  /** Samples of this class do not count. Default `-100`. Class numbers only. */
  readonly ignoreIndex?: number;
}

const crossEntropyKinds: OptionKinds<CrossEntropyOptions> = {
  labelSmoothing: 'number',
  reduction: 'string',
  weight: 'object',
  ignoreIndex: 'number',
};

/**
 * Cross entropy of softmax(logits), in float32 for logits of 16 bits.
 *
 * @param logits - shape [batch, classes]
 * @param target - class numbers, int64 of shape [batch], or soft targets, floats shaped like logits
 * @throws ShapeError if target fits neither way
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  checkOptions('crossEntropy', options, crossEntropyKinds);
  const { labelSmoothing = 0, reduction = 'mean', weight, ignoreIndex = -100 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new RangeError(
      `crossEntropy: got labelSmoothing ${labelSmoothing}, expected a share from 0 to 1.`,
    );
  }
  if (!Object.hasOwn(reductions, reduction)) {
    throw new RangeError(
      `crossEntropy: got reduction '${reduction}', expected one of ${Object.keys(reductions).join(', ')}.`,
    );
  }
  const [batch, classes] = logits.shape;
  const fits = target.isFloat
    ? target.ndim === 2 && target.shape[0] === batch && target.shape[1] === classes
    : target.ndim === 1 && target.shape[0] === batch;
  if (logits.ndim !== 2 || !fits) {
    throw new ShapeError(
      `crossEntropy: got logits [${logits.shape.join(', ')}] and ${target.dtype} target [${target.shape.join(', ')}], ` +
        'expected [batch, classes] and class numbers [batch] or soft targets [batch, classes].',
    );
  }
  const labels = target.isFloat ? target : target.to('int64');
  return ops.crossEntropyLoss(
    atLeastFloat32(logits),
    labels,
    weight,
    reductions[reduction],
    ignoreIndex,
    labelSmoothing,
  );
}

export interface LinearFunctionOptions {
  /** Shape [outFeatures]. */
  readonly bias?: Tensor | null | undefined;
  /** Added to the result, shaped like it: a skip connection at no extra pass over memory. */
  readonly residual?: Tensor | undefined;
}

const linearKinds: OptionKinds<LinearFunctionOptions> = {
  bias: ['object', 'null'],
  residual: 'object',
};

/**
 * x Wᵀ + bias + residual. On the CPU in float32 one product with oneDNN where the libtorch in use has
 * it apart (Debian's), libtorch's own operators otherwise. Weight and bias may be float32 where x has 16 bits
 * (`weightFor`).
 *
 * @param x - shape [..., inFeatures]
 * @param weight - shape [outFeatures, inFeatures]
 * @returns shape [..., outFeatures]
 */
export function linear(x: Tensor, weight: Tensor, options: LinearFunctionOptions = {}): Tensor {
  checkOptions('linear', options, linearKinds);
  const { bias, residual } = options;
  const { dtype } = x;
  const [w, b] = [weightFor(weight, dtype), weightFor(bias, dtype)];
  return callOperator('mamba_prune::linear', x, w, b, residual) as Tensor;
}

export interface LayerNormFunctionOptions {
  readonly weight?: Tensor | null;
  readonly bias?: Tensor | null;
  /** Added to the variance. Default `1e-5`. */
  readonly eps?: number;
}

const layerNormKinds: OptionKinds<LayerNormFunctionOptions> = {
  weight: ['object', 'null'],
  bias: ['object', 'null'],
  eps: 'number',
};

/** Normalises over the last dimensions, whose sizes are given. */
export function layerNorm(
  x: Tensor,
  normalizedShape: readonly number[],
  options: LayerNormFunctionOptions = {},
): Tensor {
  checkOptions('layerNorm', options, layerNormKinds);
  const { weight = null, bias = null, eps = 1e-5 } = options;
  const { dtype } = x;
  return ops.layerNorm(x, normalizedShape, weightFor(weight, dtype), weightFor(bias, dtype), eps);
}

export interface RmsNormFunctionOptions {
  /** Added to the mean square. Default `1e-5`. */
  readonly eps?: number;
}

const rmsNormKinds: OptionKinds<RmsNormFunctionOptions> = { eps: 'number' };

/**
 * Root mean square normalisation (Zhang and Sennrich 2019, arXiv 1910.07467), x / sqrt(mean(x²) + eps) * weight over the last
 * dimension, in one pass. With x of 16 bits it is computed in float32, and the result has the type of x.
 *
 * @param x - shape [..., width]
 * @param weight - shape [width]
 */
export function rmsNorm(x: Tensor, weight: Tensor, options: RmsNormFunctionOptions = {}): Tensor {
  checkOptions('rmsNorm', options, rmsNormKinds);
  const { eps = 1e-5 } = options;
  const [wide, factors] = [atLeastFloat32(x), atLeastFloat32(weight)];
  const y = callOperator('mamba_prune::rms_norm', wide, factors, eps) as Tensor;
  return y.dtype === x.dtype ? y : y.to(x.dtype);
}

/** Zeroes elements with probability p and scales the rest by 1/(1-p); x itself unless training. */
export function dropout(x: Tensor, p: number, training: boolean): Tensor {
  return training && p > 0 ? ops.dropout(x, p, true) : x;
}

/** Zeroes whole samples (dimension 0) with probability p and scales the rest by 1/(1-p). */
export function dropPath(x: Tensor, p: number, training: boolean): Tensor {
  if (!training || p === 0) return x;
  const scale = dropPathScale(x, p).to(x.dtype);
  return x.mul(scale.reshape(x.size(0), ...Array<number>(x.ndim - 1).fill(1)));
}

/** The factors of `dropPath`: 0 with probability p, else 1 / (1 - p). @returns float32 [batch], on x's device */
export function dropPathScale(x: Tensor, p: number): Tensor {
  const keep = 1 - p;
  return noGrad(() => {
    const made = empty([x.size(0)], { device: x.device });
    ops.bernoulli_(made, keep);
    // With p = 1 nothing is kept, and nothing is to be scaled.
    return keep > 0 ? made.div_(keep) : made;
  });
}

const fusedAttention = 'aten::scaled_dot_product_attention';

/**
 * Attention softmax(q kᵀ / sqrt(features)) v of every head (Vaswani et al. 2017, eq. 1). One fused
 * operator where the libtorch in use offers it (2.0 and newer); on 1.13 two products and a softmax.
 *
 * @param q - queries, shape [..., length, features]
 * @param k - keys, shape [..., keys, features]
 * @param v - values, shape [..., keys, values]
 * @returns shape [..., length, values]
 * @throws ShapeError if the sizes do not go together
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor): Tensor {
  if (
    Math.min(q.ndim, k.ndim, v.ndim) < 2 ||
    q.shape.at(-1) !== k.shape.at(-1) ||
    k.shape.at(-2) !== v.shape.at(-2)
  ) {
    const [a, b, c] = [q, k, v].map(({ shape }) => `[${shape.join(', ')}]`);
    throw new ShapeError(
      `scaledDotProductAttention: got queries ${a}, keys ${b} and values ${c}, ` +
        'expected [..., length, features], [..., keys, features] and [..., keys, values].',
    );
  }
  if (hasOperator(fusedAttention)) return ops.scaledDotProductAttention(q, k, v);
  // The queries are scaled, not the scores: they are the smaller tensor.
  const scores = q.mul(q.size(-1) ** -0.5).matmul(k.transpose(-2, -1));
  return scores.softmax(-1).matmul(v);
}

export interface SelectiveScanOptions {
  /** Skip connection D u, shape [channels]. */
  readonly D?: Tensor | null;
  /** Gate: y is multiplied by silu(z); shape [batch, length, channels]. */
  readonly z?: Tensor | null;
  /** Added to delta before softplus, shape [channels]. */
  readonly deltaBias?: Tensor | null;
  /** Whether delta still has to pass softplus. Default `false`. */
  readonly deltaSoftplus?: boolean;
  /** State before the first step, shape [batch, channels, states]. Default: zeros. */
  readonly initialState?: Tensor | null;
}

const scanKinds: OptionKinds<SelectiveScanOptions> = {
  D: ['object', 'null'],
  z: ['object', 'null'],
  deltaBias: ['object', 'null'],
  deltaSoftplus: 'boolean',
  initialState: ['object', 'null'],
};

/**
 * The selective scan of Mamba (Gu and Dao 2023, https://arxiv.org/abs/2312.00752, algorithm 2):
 *
 *     h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t,    y_t = C_t . h_t + D u_t,    y *= silu(z)
 *
 * One fused kernel, with gradients for every tensor given and through `lastState`. (On a GPU with gradients one for each
 * 32 states.)
 *
 * @param u - input, shape [batch, length, channels]
 * @param delta - step sizes, shaped like u
 * @param A - shape [channels, states], negative for a stable system
 * @param B - shape [batch, length, states]
 * @param C - shape [batch, length, states]
 * @returns y shaped like u, and the state after the last step, [batch, channels, states]
 */
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveScanOptions = {},
): { y: Tensor; lastState: Tensor } {
  checkOptions('selectiveScan', options, scanKinds);
  const { D, z, deltaBias, deltaSoftplus = false, initialState } = options;
  if (needsFloat32(u)) {
    const [u32, delta32, A32, B32, C32] = [u, delta, A, B, C].map(atLeastFloat32) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const { y, lastState } = selectiveScan(u32, delta32, A32, B32, C32, {
      D: maybeFloat32(D),
      z: maybeFloat32(z),
      deltaBias: maybeFloat32(deltaBias),
      deltaSoftplus,
      initialState: maybeFloat32(initialState),
    });
    return { y: y.to(u.dtype), lastState };
  }
  const most = kernelLimits.gpuStates;
  if (u.device.startsWith('cuda') && A.ndim === 2 && A.size(1) > most && isGradEnabled()) {
    return scanInParts((...part) => selectiveScan(u, delta, ...part), [A, B, C], options, most);
  }
  const [y, lastState] = callOperator(
    'mamba_prune::selective_scan',
    u,
    delta,
    A,
    B,
    C,
    D,
    z,
    deltaBias,
    deltaSoftplus,
    initialState,
  ) as [Tensor, Tensor];
  return { y, lastState };
}

export interface CausalConvOptions {
  /** Shape [channels]. */
  readonly bias?: Tensor | null;
  /** Whether silu is applied to the result. Default `true`. */
  readonly silu?: boolean;
}

const convKinds: OptionKinds<CausalConvOptions> = { bias: ['object', 'null'], silu: 'boolean' };

/**
 * Depthwise convolution that sees the past only: y_t = sum_k w_k x_{t-K+1+k} + bias, then silu. One kernel for up to 8
 * taps.
 *
 * @param x - shape [batch, length, channels]: channels last, unlike Conv1d
 * @param weight - shape [channels, 1, kernel], as Conv1d with one group per channel has it
 */
export function causalConv1d(x: Tensor, weight: Tensor, options: CausalConvOptions = {}): Tensor {
  checkOptions('causalConv1d', options, convKinds);
  const { bias, silu = true } = options;
  const isWide = weight.ndim === 3 && weight.size(2) > kernelLimits.convTaps;
  if (needsFloat32(x) || (isWide && isLowPrecision(x.dtype))) {
    const wide = { bias: maybeFloat32(bias), silu };
    return causalConv1d(atLeastFloat32(x), atLeastFloat32(weight), wide).to(x.dtype);
  }
  if (isWide) return causalConvOfAnyWidth(x, weight, bias, silu);
  return callOperator('mamba_prune::causal_conv1d', x, weight, bias, silu) as Tensor;
}

/** gelu(x + bias), exact (erf), in one pass. @param x - shape [..., features] */
export function biasGelu(x: Tensor, bias: Tensor): Tensor {
  if (needsFloat32(x)) return biasGelu(atLeastFloat32(x), atLeastFloat32(bias)).to(x.dtype);
  return callOperator('mamba_prune::bias_gelu', x, bias) as Tensor;
}
