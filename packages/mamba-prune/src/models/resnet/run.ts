// A residual network as a few operators, for inference on the CPU: convolutions with their BatchNorm, ReLU and shortcut are
// one each. BatchNorm is folded into weights and bias, and the weights are laid out for the form of the convolution that is
// fastest for a size. layers/running.ts says which other ways there are.
import { DerivedWeights, type Tensor, type nn, ops, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { inTurn } from '../layers/in-turn.js';
import type { Block, ConvNorm } from './model.js';

export interface Parts {
  readonly stem: ConvNorm;
  /** Whether the stem ends in a pooling. */
  readonly pools: boolean;
  readonly blocks: readonly Block[];
}

/** Everything before the classifier. Between the operators channels come last. */
export class FusedResNet {
  readonly #stem: FusedConvolutions;
  readonly #pools: boolean;
  readonly #blocks: readonly FusedConvolutions[];

  constructor({ stem, pools, blocks }: Parts) {
    this.#stem = new FusedConvolutions([stem], 'none');
    this.#pools = pools;
    this.#blocks = blocks.map(
      ({ layers, shortcut }) => new FusedConvolutions(layers, shortcut ?? 'identity'),
    );
  }

  /**
   * @param images - shape [batch, channels, height, width]
   * @returns the mean over the pixels, shape [batch, width of the last stage]
   */
  forward(images: Tensor): Tensor {
    const first = scope(() => {
      const x = this.#stem.forward(images.permute(0, 2, 3, 1));
      return this.#pools ? ops.maxPool2d(x.permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1) : x;
    });
    return inTurn(this.#blocks, first, (x, block) => block.forward(x)).mean([1, 2]);
  }

  /** Frees what was made for inference; the next call makes it again. */
  release(): void {
    for (const convolutions of [this.#stem, ...this.#blocks]) convolutions.release();
  }
}

/** Convolutions in a row with ReLU, and what is added to the last. */
class FusedConvolutions {
  readonly #layers: readonly ConvNorm[];
  readonly #shortcut: kernels.Shortcut;
  /** By the forms of all convolutions, which depend on the batch. */
  readonly #packed = new Map<string, DerivedWeights>();

  constructor(layers: readonly ConvNorm[], shortcut: 'none' | 'identity' | ConvNorm) {
    const projected = typeof shortcut !== 'string';
    this.#layers = projected ? [...layers, shortcut] : layers;
    this.#shortcut = projected ? 'projected' : shortcut;
  }

  /**
   * @param x - shape [batch, height, width, channels]
   * @returns shape [batch, height', width', out]
   */
  forward(x: Tensor): Tensor {
    const [batch, height, width] = x.shape as [number, number, number];
    const forms = this.#forms(batch, height, width);
    const tensors = this.#packedFor(forms).get();
    const convolutions = this.#layers.map(({ conv }, i) => ({
      weight: tensors[2 * i] as Tensor,
      bias: tensors[2 * i + 1] as Tensor,
      kernel: conv.kernelSize[0] as number,
      stride: conv.stride as number,
    }));
    return kernels.convBlock(x, convolutions, this.#shortcut);
  }

  release(): void {
    for (const packed of this.#packed.values()) packed.release();
    this.#packed.clear();
  }

  #forms(batch: number, height: number, width: number): kernels.ConvolutionForm[] {
    let [h, w] = [height, width];
    return this.#layers.map(({ conv }) => {
      const stride = conv.stride as number;
      // The shortcut comes last and has a kernel of 1: its size does not matter.
      [h, w] = [Math.ceil(h / stride), Math.ceil(w / stride)];
      return conv.kernelSize[0] === 3 && stride === 1 ? formFor(conv, batch, h, w) : 0;
    });
  }

  #packedFor(forms: readonly kernels.ConvolutionForm[]): DerivedWeights {
    const key = forms.join();
    const known = this.#packed.get(key);
    if (known) return known;
    const sources = this.#layers.flatMap(({ conv, bn }) => [
      conv.weight,
      ...[bn.weight, bn.bias].filter((t) => t !== null),
      bn.runningMean,
      bn.runningVar,
      bn.numBatchesTracked,
    ]);
    const packed = new DerivedWeights(sources, () =>
      this.#layers.flatMap((layer, i) => {
        const { weight, bias } = folded(layer);
        return [kernels.packConvolution(weight, forms[i] ?? 0), bias.to('float32')];
      }),
    );
    this.#packed.set(key, packed);
    return packed;
  }
}

/**
 * Squares of an image or batch from which on a form is faster than the one before it: with fewer, reading its larger
 * weights takes longer than its multiplications save. Weights that stay in the second-level cache need fewer.
 */
const leastSquares = { 2: 8, 4: 12 };
const leastSquaresNear = 4;
const nearWeights = 64 * 64;

/** For a 3x3 convolution at stride 1. */
function formFor(
  { inChannels, outChannels }: nn.Conv2d,
  batch: number,
  height: number,
  width: number,
): kernels.ConvolutionForm {
  const squares = (side: number) => batch * Math.ceil(height / side) * Math.ceil(width / side);
  const isNear = inChannels * outChannels <= nearWeights;
  if (squares(4) >= (isNear ? leastSquaresNear : leastSquares[4])) return 4;
  return squares(2) >= leastSquares[2] ? 2 : 0;
}

/** Weights and bias of the convolution and its BatchNorm together, in float64. */
function folded({ conv, bn }: ConvNorm): { weight: Tensor; bias: Tensor } {
  const exact = (t: Tensor) => t.to('float64');
  const deviation = exact(bn.runningVar).add(bn.eps).sqrt();
  const scale = bn.weight ? exact(bn.weight).div(deviation) : deviation.reciprocal();
  const shift = exact(bn.runningMean).mul(scale).neg();
  return {
    weight: exact(conv.weight).mul(scale.view(-1, 1, 1, 1)),
    bias: bn.bias ? shift.add(exact(bn.bias)) : shift,
  };
}
