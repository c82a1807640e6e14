// How the layers of a Vim run. layers/running.ts says which ways there are.
import { type DType, F, type Tensor, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { UnitProbe } from '../image-model.js';
import { infersOnCpu } from '../layers/running.js';
import { scanWeights } from '../layers/scan-weights.js';
import type { Block } from './model.js';

/** All layers, one after the other, each the fastest way that there is for it. */
export class LayerRunner {
  readonly #layers: readonly Block[];
  /** For the operator that does a whole layer, of those layers that it can do. */
  readonly #weights: readonly (kernels.VimBlockWeights | undefined)[];

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
        return scope(() => kernels.vimBlock(stream, weights, layer.norm.eps));
      }
      return layer.forward(stream, dtype, probe);
    }, x);
  }
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
