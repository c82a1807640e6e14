// How the layers of a Vim run. layers/running.ts says which ways there are, and what the kinds of copies are.
import { type DType, DerivedWeights, F, type Tensor, full, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { PackedWeights, UnitProbe } from '../image-model.js';
import { inTurn } from '../layers/in-turn.js';
import { type KeptProducts, LowProducts, packNarrow } from '../layers/low-products.js';
import { MatrixCopies, type MatrixForms } from '../layers/matrix-copies.js';
import { PackedSsm } from '../layers/packing.js';
import { PanelMatrices } from '../layers/panel-matrices.js';
import { fitsConvKernel, fitsGpuBranch, infersOnCpu } from '../layers/running.js';
import { scanPlaces, scanWeights, ssmMatrices, ssmWeights } from '../layers/scan-weights.js';
import { inStepOrder } from '../layers/step-order.js';
import type { Block } from './model.js';

/** Out_proj reads the mean of two directions. */
const mean = 0.5;

/** What the matrix products of a layer read on a GPU. */
type LayerMatrices = Pick<PackedSsm, 'ssm'>;

const layerMatrices: MatrixForms<Block, LayerMatrices> = {
  parameters: ({ mixer }) => ({ ssm: ssmMatrices(mixer) }),
  pack: ({ mixer }, dtype) => new PackedSsm(mixer, dtype),
};

/** All layers, one after the other, each the fastest way that there is for it. */
export class LayerRunner {
  readonly #layers: readonly Block[];
  /** For the operator that does a whole layer on the CPU, of those layers that it can do. */
  readonly #weights: readonly (kernels.VimBlockWeights | undefined)[];
  /** What the products of these layers read. */
  readonly #matrices: readonly (readonly Tensor[] | undefined)[];
  readonly #panels: PanelMatrices;
  readonly #low: LowProducts;
  readonly #copies: MatrixCopies<Block, LayerMatrices>;

  constructor(layers: readonly Block[]) {
    this.#layers = layers;
    this.#copies = new MatrixCopies(layers, layerMatrices);
    // Parameters are never replaced: these stay theirs.
    this.#weights = layers.map(layerWeights);
    this.#matrices = this.#weights.map((weights) => weights && matricesOf(weights));
    this.#panels = new PanelMatrices(this.#matrices);
    this.#low = new LowProducts(this.#matrices);
  }

  /**
   * @param x - the residual stream, shape [batch, length, dModel]; the result has the same shape
   * @param dtype - what the mixers compute in
   */
  forward(x: Tensor, dtype: DType, probe?: UnitProbe): Tensor {
    const branches = !probe && dtype !== 'float64' && kernels.hasFusedBranches(x.device);
    const factors = branches ? full([x.size(0)], mean, { device: x.device }) : undefined;
    let panels: ReturnType<PanelMatrices['get']> | undefined;
    const step = (stream: Tensor, layer: Block, index: number): Tensor => {
      const weights = this.#weights[index];
      if (weights && !layer.training && dtype === 'float32' && infersOnCpu(stream, probe)) {
        const low = this.#low.of(index);
        const used = low
          ? withLow(weights, low)
          : withMatrices(weights, (panels ??= this.#panels.get())[index]);
        return scope(() => kernels.vimBlock(stream, used, layer.norm.eps));
      }
      if (factors && fitsGpuBranch(layer.mixer)) {
        return scope(() => {
          const { ssm: packed } = this.#copies.of(index, dtype);
          const ssm = { weights: ssmWeights(layer.mixer), packed };
          return kernels.ssmBranch(stream, layer.norm, ssm, scaleOf(layer, stream, factors));
        });
      }
      return layer.forward(stream, dtype, probe);
    };
    return inTurn(this.#layers, x, step, probe !== undefined);
  }

  /** As `ImageModel.packWeights` says; undefined where the operator of a GPU cannot do a layer. */
  pack(dtype: DType): PackedWeights | undefined {
    if (!this.#layers.every(({ mixer }) => fitsConvKernel(mixer))) return undefined;
    return this.#copies.keep(dtype);
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts | undefined {
    const layers = this.#weights.filter((layer) => layer !== undefined);
    if (layers.length < this.#layers.length) return undefined;
    // Else these would be in memory beside those in low precision.
    this.#panels.release();
    return this.#low.keep(layers.map((layer) => lowWeights(layer, precision)));
  }

  /** Frees what was made for inference on the CPU; the next use makes it again. */
  release(): void {
    this.#panels.release();
    this.#low.release();
  }
}

/** The mean of the directions, and drop path. @param factors - the mean alone, shape [batch] */
function scaleOf({ training, dropPath }: Block, x: Tensor, factors: Tensor): Tensor {
  return training && dropPath > 0 ? F.dropPathScale(x, dropPath).mul(factors) : factors;
}

const isXProj = (place: number): boolean => place % scanPlaces.count === scanPlaces.xProj;

function matricesOf({ inProj, outProj, scans }: kernels.VimBlockWeights): Tensor[] {
  return [inProj, outProj, ...scans.filter((_, i) => isXProj(i))];
}

/** The same layer with other matrices, in the order of `matricesOf`. */
function withMatrices(
  weights: kernels.VimBlockWeights,
  matrices: readonly Tensor[] | undefined,
): kernels.VimBlockWeights {
  if (!matrices) return weights;
  const [inProj, outProj, ...xProjs] = matrices as [Tensor, Tensor, ...Tensor[]];
  const scans = weights.scans.map((tensor, i) =>
    isXProj(i) ? (xProjs[Math.floor(i / scanPlaces.count)] as Tensor) : tensor,
  );
  return { ...weights, inProj, outProj, scans };
}

/** What a layer reads in low precision in place of its weights: in_proj, out_proj and those of the scans. */
function lowWeights(
  { inProj, outProj, scans }: kernels.VimBlockWeights,
  precision: kernels.ProductPrecision,
): DerivedWeights {
  return new DerivedWeights([inProj, outProj, ...scans], () => {
    const ordered = inStepOrder({ inProj, outProj, scans });
    const pack = (matrix: Tensor): Tensor => kernels.packProduct(matrix, precision);
    return [
      pack(ordered.inProj),
      pack(ordered.outProj),
      ...ordered.scans.map((tensor, i) => (isXProj(i) ? packNarrow(tensor, precision) : tensor)),
    ];
  });
}

function withLow(
  { norm }: kernels.VimBlockWeights,
  low: readonly Tensor[],
): kernels.VimBlockWeights {
  const [inProj, outProj, ...scans] = low as [Tensor, Tensor, ...Tensor[]];
  return { norm, inProj, outProj, scans };
}

/** Undefined where the kernels' convolution has too few taps. */
function layerWeights(layer: Block): kernels.VimBlockWeights | undefined {
  if (!fitsConvKernel(layer.mixer)) return undefined;
  const { norm, mixer } = layer;
  return {
    norm: norm.weight,
    inProj: mixer.inProj.weight,
    scans: scanWeights(mixer),
    outProj: mixer.outProj.weight,
  };
}
