// How the layers of a Vim run. layers/running.ts says which ways there are.
import { type DType, F, type Tensor, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { UnitProbe } from '../image-model.js';
import { type KeptProducts, LowProducts } from '../layers/low-products.js';
import { infersOnCpu } from '../layers/running.js';
import { scanWeights } from '../layers/scan-weights.js';
import type { Block } from './model.js';

/** All layers, one after the other, each the fastest way that there is for it. */
export class LayerRunner {
  readonly #layers: readonly Block[];
  /** For the operator that does a whole layer, of those layers that it can do. */
  readonly #weights: readonly (kernels.VimBlockWeights | undefined)[];
  readonly #low = new LowProducts();

  constructor(layers: readonly Block[]) {
    this.#layers = layers;
    // Parameters are never replaced: these stay theirs.
    this.#weights = layers.map(layerWeights);
  }

  /**
   * @param x - the residual stream, shape [batch, length, dModel]; the result has the same shape
   * @param dtype - what the mixers compute in
   */
  forward(x: Tensor, dtype: DType, probe?: UnitProbe): Tensor {
    return this.#layers.reduce((stream, layer, index) => {
      const weights = this.#weights[index];
      if (weights && !layer.training && dtype === 'float32' && infersOnCpu(stream, probe)) {
        const used = inLowPrecision(weights, this.#low.of(index));
        return scope(() => kernels.vimBlock(stream, used, layer.norm.eps));
      }
      return layer.forward(stream, dtype, probe);
    }, x);
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts | undefined {
    const weights = this.#weights.filter((layer) => layer !== undefined);
    if (weights.length < this.#layers.length) return undefined;
    return this.#low.keep(precision, weights.map(matricesOf));
  }
}

/** Of a direction's weights in `VimBlockWeights.scans`. */
const perDirection = 7;
const xProjPlace = 2;

function matricesOf({ inProj, outProj, scans }: kernels.VimBlockWeights): Tensor[] {
  return [inProj, outProj, ...scans.filter((_, i) => i % perDirection === xProjPlace)];
}

/** The same layer with other matrices, in the order of `matricesOf`. */
function inLowPrecision(
  weights: kernels.VimBlockWeights,
  matrices: readonly Tensor[] | undefined,
): kernels.VimBlockWeights {
  if (!matrices) return weights;
  const [inProj, outProj, ...xProjs] = matrices as [Tensor, Tensor, ...Tensor[]];
  const scans = weights.scans.map((tensor, i) =>
    i % perDirection === xProjPlace ? (xProjs[Math.floor(i / perDirection)] as Tensor) : tensor,
  );
  return { ...weights, inProj, outProj, scans };
}

/** Undefined where the kernels' convolution has too few taps. */
function layerWeights({ norm, mixer }: Block): kernels.VimBlockWeights | undefined {
  if (mixer.sizes.dConv > F.kernelLimits.convTaps) return undefined;
  return {
    norm: norm.weight,
    inProj: mixer.inProj.weight,
    scans: scanWeights(mixer),
    outProj: mixer.outProj.weight,
  };
}
