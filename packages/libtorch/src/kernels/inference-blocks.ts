// Whole blocks of a vision Mamba, a ViT or a ResNet as one operator, for inference on the CPU in float32, and the form in
// which these operators read matrices.
import { callOperator } from '../dispatch.js';
import type { Tensor } from '../tensor.js';

/**
 * Matrices as the fused operators for inference on the CPU read them: in panels of columns, whose width depends on
 * the processor, so they are not for files.
 *
 * @param weight - float32, shape [count, out, in]
 * @returns shape [count, panels, in, panel]
 */
export function packWeights(weight: Tensor): Tensor {
  return callOperator('mamba_prune::pack_weights', weight) as Tensor;
}

/**
 * The matrix that `packWeights` was given, bit for bit.
 *
 * @param packed - of a single matrix, [1, out, in]
 * @param columns - its `out`
 * @returns shape [out, in]
 */
export function unpackMatrix(packed: Tensor, columns: number): Tensor {
  return callOperator('mamba_prune::unpack_matrix', packed, columns) as Tensor;
}

/** The parameters of one block of the vision Mamba; shapes as in `mambaBlock`. */
export interface MambaBlockWeights {
  readonly norm1Weight: Tensor;
  readonly norm1Bias: Tensor;
  readonly inProj: Tensor;
  readonly convWeight: Tensor;
  readonly convBias: Tensor;
  readonly xProj: Tensor;
  readonly dtWeight: Tensor;
  readonly dtBias: Tensor;
  readonly aLog: Tensor;
  readonly d: Tensor;
  readonly outProj: Tensor;
  readonly norm2Weight: Tensor;
  readonly norm2Bias: Tensor;
  readonly fc1Weight: Tensor;
  readonly fc1Bias: Tensor;
  readonly fc2Weight: Tensor;
  readonly fc2Bias: Tensor;
}

/**
 * A whole block of the vision Mamba, x + ssm(norm1(x)) and then x + mlp(norm2(x)), as one operator: for
 * inference on the CPU in float32. It computes what the single operators do, up to the rounding of
 * sums; small batches gain most, whose single operators cost more to call than to compute.
 *
 * @param x - shape [batch, length, dModel]; the result has the same shape
 * @param weights - norms and biases of their one size, inProj [2 dInner, dModel], convWeight [dInner, 1, dConv],
 *   xProj [dtRank + 2 dState, dInner], dtWeight [dInner, dtRank], aLog [dInner, dState], outProj [dModel, dInner],
 *   fc1Weight [mlp, dModel], fc2Weight [dModel, mlp]. inProj, xProj, outProj, fc1Weight and fc2Weight may each be what
 *   `packWeights` makes of [1, out, in] instead: the result is the same, and transposing them is spared
 * @param eps - of both LayerNorms
 * @throws TorchError for tensors that require gradients while they are recorded, other types or shapes
 */
export function mambaBlock(x: Tensor, weights: MambaBlockWeights, eps: number): Tensor {
  const w = weights;
  const parts = [
    w.norm1Weight,
    w.norm1Bias,
    w.inProj,
    w.convWeight,
    w.convBias,
    w.xProj,
    w.dtWeight,
    w.dtBias,
    w.aLog,
    w.d,
    w.outProj,
    w.norm2Weight,
    w.norm2Bias,
    w.fc1Weight,
    w.fc1Bias,
    w.fc2Weight,
    w.fc2Bias,
  ];
  return callOperator('mamba_prune::mamba_block', x, ...parts, eps) as Tensor;
}

/** The parameters of one block of a vision transformer; shapes as in `vitBlock`. */
export interface VitBlockWeights {
  readonly norm1Weight: Tensor;
  readonly norm1Bias: Tensor;
  readonly qkv: Tensor;
  readonly qkvBias: Tensor;
  readonly proj: Tensor;
  readonly projBias: Tensor;
  readonly norm2Weight: Tensor;
  readonly norm2Bias: Tensor;
  readonly fc1: Tensor;
  readonly fc1Bias: Tensor;
  readonly fc2: Tensor;
  readonly fc2Bias: Tensor;
}

export interface VitBlockSizes {
  readonly heads: number;
  readonly headDim: number;
  /** Of both LayerNorms. */
  readonly eps: number;
}

/**
 * A whole block of a vision transformer, x + proj(attention(norm1(x))) and then x + mlp(norm2(x)), as one operator:
 * for inference on the CPU in float32. It computes what the single operators do, up to the rounding of sums.
 *
 * @param x - shape [batch, length, dModel]; the result has the same shape
 * @param weights - norms and biases of their one size; the matrices from `packWeights`: qkv of
 *   [1, 3 heads headDim, dModel], proj of [1, dModel, heads headDim], fc1 of [1, mlp, dModel], fc2 of [1, dModel, mlp]
 * @throws TorchError for tensors that require gradients while they are recorded, other types or shapes
 */
export function vitBlock(x: Tensor, weights: VitBlockWeights, sizes: VitBlockSizes): Tensor {
  const w = weights;
  const parts = [
    w.norm1Weight,
    w.norm1Bias,
    w.qkv,
    w.qkvBias,
    w.proj,
    w.projBias,
    w.norm2Weight,
    w.norm2Bias,
    w.fc1,
    w.fc1Bias,
    w.fc2,
    w.fc2Bias,
  ];
  const { heads, headDim, eps } = sizes;
  return callOperator('mamba_prune::vit_block', x, ...parts, heads, headDim, eps) as Tensor;
}

/** How the blocks' input comes to their result. */
export type Shortcut = 'none' | 'identity' | 'projected';

const shortcuts = { none: 0, identity: 1, projected: 2 } as const satisfies Record<
  Shortcut,
  number
>;

/** A convolution of `convBlock`. */
export interface PackedConvolution {
  /** From `packConvolution`. */
  readonly weight: Tensor;
  /** Shape [out]. */
  readonly bias: Tensor;
  /** Odd side; the image is surrounded by kernel >> 1 zeros. */
  readonly kernel: number;
  readonly stride: number;
}

/**
 * Convolutions one after the other, each followed by ReLU; before the last one's, a shortcut is added to it: x itself
 * (`identity`), or the last of `convolutions` of x, which has no ReLU (`projected`). One operator, for inference on the CPU in float32.
 *
 * @param x - shape [batch, height, width, channels]: channels last, unlike `Conv2d`
 * @param convolutions - 1 to 4, and one more for a projected shortcut
 * @returns shape [batch, height', width', out]
 * @throws TorchError for tensors that require gradients while they are recorded, other types or shapes
 */
export function convBlock(
  x: Tensor,
  convolutions: readonly PackedConvolution[],
  shortcut: Shortcut = 'none',
): Tensor {
  return callOperator(
    'mamba_prune::conv_block',
    x,
    convolutions.map(({ weight }) => weight),
    convolutions.map(({ bias }) => bias),
    convolutions.map(({ kernel }) => kernel),
    convolutions.map(({ stride }) => stride),
    shortcuts[shortcut],
  ) as Tensor;
}
