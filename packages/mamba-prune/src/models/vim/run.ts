// How the layers of a Vim run. layers/running.ts says which ways there are, and what the kinds of copies are.
import { type DType, F, type Tensor, full, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import type { PackedWeights, UnitProbe } from '../image-model.js';
import { type KeptProducts, LowProducts } from '../layers/low-products.js';
import { Packing, packSsm } from '../layers/packing.js';
import { PanelMatrices } from '../layers/panel-matrices.js';
import { fitsConvKernel, fitsGpuBranch, infersOnCpu } from '../layers/running.js';
import { scanWeights, ssmMatrices, ssmWeights } from '../layers/scan-weights.js';
import type { Block } from './model.js';

/** Out_proj reads the mean of two directions. */
const mean = 0.5;

/** Copies for the operators of a GPU, which somebody keeps up to date until they are disposed of. */
interface KeptCopies {
  readonly dtype: DType;
  /** The matrices of each layer. */
  readonly layers: readonly (readonly Tensor[])[];
}

/** All layers, one after the other, each the fastest way that there is for it. */
export class LayerRunner {
  readonly #layers: readonly Block[];
  /** For the operator that does a whole layer on the CPU, of those layers that it can do. */
  readonly #weights: readonly (kernels.VimBlockWeights | undefined)[];
  /** What the products of these layers read. */
  readonly #matrices: readonly (readonly Tensor[] | undefined)[];
  readonly #panels: PanelMatrices;
  readonly #low = new LowProducts();
  /** Those in use last. */
  #kept: readonly KeptCopies[] = [];

  constructor(layers: readonly Block[]) {
    this.#layers = layers;
    // Parameters are never replaced: these stay theirs.
    this.#weights = layers.map(layerWeights);
    this.#matrices = this.#weights.map((weights) => weights && matricesOf(weights));
    this.#panels = new PanelMatrices(this.#matrices);
  }

  /**
   * @param x - the residual stream, shape [batch, length, dModel]; the result has the same shape
   * @param dtype - what the mixers compute in
   */
  forward(x: Tensor, dtype: DType, probe?: UnitProbe): Tensor {
    const branches = !probe && dtype !== 'float64' && kernels.hasFusedBranches(x.device);
    const factors = branches ? full([x.size(0)], mean, { device: x.device }) : undefined;
    let panels: ReturnType<PanelMatrices['get']> | undefined;
    return this.#layers.reduce((stream, layer, index) => {
      const weights = this.#weights[index];
      if (weights && !layer.training && dtype === 'float32' && infersOnCpu(stream, probe)) {
        const matrices = this.#low.of(index) ?? (panels ??= this.#panels.get())[index];
        const used = withMatrices(weights, matrices);
        return scope(() => kernels.vimBlock(stream, used, layer.norm.eps));
      }
      if (factors && fitsGpuBranch(layer.mixer)) {
        return scope(() => {
          const packed = this.#matricesFor(layer, index, dtype);
          const ssm = { weights: ssmWeights(layer.mixer), packed };
          return kernels.ssmBranch(stream, layer.norm, ssm, scaleOf(layer, stream, factors));
        });
      }
      return layer.forward(stream, dtype, probe);
    }, x);
  }

  /** As `ImageModel.packWeights` says; undefined where the operator of a GPU cannot do a layer. */
  pack(dtype: DType): PackedWeights | undefined {
    const device = this.#layers[0]?.mixer.inProj.weight.device;
    if (device === undefined || !this.#layers.every(({ mixer }) => fitsConvKernel(mixer)))
      return undefined;
    const packing = new Packing(dtype, device);
    const layers = this.#layers.map(({ mixer }) => packSsm(packing, mixer));
    const kept: KeptCopies = { dtype, layers };
    this.#kept = [...this.#kept, kept];
    return {
      parts: packing.parts,
      masters: packing.masters,
      dispose: () => {
        // Those that were there before are used again.
        this.#kept = this.#kept.filter((other) => other !== kept);
        packing.dispose();
      },
    };
  }

  /** As `ImageModel.multiplyIn` says. */
  multiplyIn(precision: kernels.ProductPrecision): KeptProducts | undefined {
    const matrices = this.#matrices.filter((layer) => layer !== undefined);
    if (matrices.length < this.#layers.length) return undefined;
    return this.#low.keep(precision, matrices);
  }

  /** Frees what was made for inference on the CPU; the next use makes it again. */
  release(): void {
    this.#panels.release();
  }

  #matricesFor({ mixer }: Block, index: number, dtype: DType): readonly Tensor[] {
    if (dtype === 'float32') return ssmMatrices(mixer);
    const kept = this.#kept.findLast((copies) => copies.dtype === dtype)?.layers[index];
    if (kept) return kept;
    // Nobody keeps copies: these are for this call.
    const packing = new Packing(dtype, mixer.inProj.weight.device);
    const made = packSsm(packing, mixer);
    packing.refresh();
    const borrowed = made.map((tensor) => tensor.detach());
    packing.dispose();
    return borrowed;
  }
}

/** The mean of the directions, and drop path. @param factors - the mean alone, shape [batch] */
function scaleOf({ training, dropPath }: Block, x: Tensor, factors: Tensor): Tensor {
  return training && dropPath > 0 ? F.dropPathScale(x, dropPath).mul(factors) : factors;
}

/** Of a direction's weights in `VimBlockWeights.scans`. */
const perDirection = 7;
const xProjPlace = 2;

function matricesOf({ inProj, outProj, scans }: kernels.VimBlockWeights): Tensor[] {
  return [inProj, outProj, ...scans.filter((_, i) => i % perDirection === xProjPlace)];
}

/** The same layer with other matrices, in the order of `matricesOf`. */
function withMatrices(
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
