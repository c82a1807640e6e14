// Vim: patches with a class token in the middle of them, layers of an SSM that scans both ways, classifier.
//
//   x      = insert(cls_token, patch_embed(image)) + pos_embed     at index floor(patches / 2)
//   x      = x + mixer(norm(x))                                    in each layer; layers/ssm.ts, both directions' mean
//   logits = head(norm_f(x)[floor(patches / 2)])                   of the class token alone
//
// References:
//   [1] Zhu et al. 2024, Vision Mamba: Efficient Visual Representation Learning with Bidirectional State Space
//       Model, arXiv 2401.09417
//
// It is the form of the published models ("bimambav2", "midclstok", "div2"). The norms are RMSNorm, there is no MLP, and
// the residual stream is of float32 whatever the layers compute in. The scan mode `bi` of mamba/ is the same mixer but for
// the mean, of which it takes the sum.
//
// The glossary of mamba/model.ts holds here too. The parameter names are Vim's own, so state dicts cross over both ways.
import { type DType, F, type Tensor, cat, nn, noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { type ProductPrecision, classLogits } from '@mamba-prune/libtorch/kernels';
import type { KeptProducts } from '../layers/low-products.js';
import { checkImages, dropPathRate } from '../config-checks.js';
import type { PruningGroup } from '../groups.js';
import {
  type ImageModel,
  type MacsEntry,
  type PackedWeights,
  type UnitProbe,
  probeOf,
} from '../image-model.js';
import { PatchProduct } from '../layers/patch-product.js';
import { residual } from '../layers/residual.js';
import { RmsNorm } from '../layers/rms-norm.js';
import { SelectiveSsm } from '../layers/ssm.js';
import {
  type VimConfig,
  checkVimConfig,
  dtRankGroup,
  middleOf,
  normEps,
  patchCount,
  ssmGroup,
  stateGroup,
} from './config.js';
import { layerGroups, layerMacs } from './groups.js';
import { LayerRunner } from './run.js';

/** One child called `proj`, as in the state dict. */
class PatchEmbed extends nn.Module {
  readonly proj: nn.Conv2d;
  readonly product: PatchProduct;

  constructor({ channels, dModel, patchSize, stride }: VimConfig) {
    super();
    this.proj = this.child('proj', new nn.Conv2d(channels, dModel, patchSize, { stride }));
    this.product = new PatchProduct(this.proj);
  }

  /** @returns shape [batch, patches, dModel] */
  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    return this.product.forward(images, probe);
  }
}

/** x = x + mixer(norm(x)). */
export class Block extends nn.Module {
  readonly norm: RmsNorm;
  readonly mixer: SelectiveSsm;
  /** Chance that a sample goes without the mixer in training. */
  readonly dropPath: number;
  /** Name of the group that a probe is shown. */
  readonly #group: string;

  constructor(config: VimConfig, index: number) {
    super();
    const { dModel, dConv, widths, dropPath, depth } = config;
    this.#group = ssmGroup(index);
    this.dropPath = dropPathRate(dropPath, index, depth);
    const sizes = {
      dModel,
      dInner: widths[this.#group] as number,
      dState: widths[stateGroup(index)] ?? config.dState,
      dConv,
      dtRank: widths[dtRankGroup(index)] ?? config.dtRank,
    };
    this.norm = this.child('norm', new RmsNorm(dModel, normEps));
    this.mixer = this.child(
      'mixer',
      new SelectiveSsm(sizes, { bidirectional: true, halved: true }),
    );
  }

  /**
   * @param x - the residual stream, shape [batch, length, dModel]; the result has the same shape and type
   * @param dtype - what the mixer computes in. Default that of `x`
   */
  override forward(x: Tensor, dtype: DType = x.dtype, probe?: UnitProbe): Tensor {
    const dropPath = this.training ? this.dropPath : 0;
    const norm = { forward: (stream: Tensor) => this.norm.forward(stream, dtype) };
    return residual(x, norm, this.mixer, { dropPath, probe: probeOf(probe, this.#group) });
  }
}

/** A Vim of any widths: the dense one and each of its pruned forms. */
export class Vim extends nn.Module implements ImageModel {
  readonly config: VimConfig;
  readonly #patchEmbed: PatchEmbed;
  readonly #clsToken: Tensor;
  readonly #posEmbed: Tensor;
  readonly #layers: readonly Block[];
  readonly #runner: LayerRunner;
  readonly #norm: RmsNorm;
  readonly #head: nn.Linear;

  constructor(config: VimConfig) {
    super();
    this.config = checkVimConfig(config);
    const { dModel, depth, numClasses } = config;
    this.#clsToken = this.parameter('cls_token', zeros([1, 1, dModel]));
    this.#posEmbed = this.parameter('pos_embed', zeros([1, this.length, dModel]));
    this.#patchEmbed = this.child('patch_embed', new PatchEmbed(config));
    const layers = Array.from({ length: depth }, (_, index) => new Block(config, index));
    this.#layers = this.child('layers', new nn.ModuleList(layers)).items;
    this.#runner = this.derived(new LayerRunner(this.#layers));
    this.#norm = this.child('norm_f', new RmsNorm(dModel, normEps));
    this.#head = this.child('head', new nn.Linear(dModel, numClasses));
    noGrad(() => {
      for (const weight of [this.#clsToken, this.#posEmbed, this.#head.weight]) {
        nn.init.truncNormal(weight, { std: 0.02 });
      }
      nn.init.constant(this.#head.bias as Tensor, 0);
      // Every layer adds to the residual stream; scaled down by their number the stream's variance does not grow with depth.
      const factor = 1 / Math.sqrt(depth);
      for (const { mixer } of this.#layers) mixer.outProj.weight.mul_(factor);
    });
  }

  get patches(): number {
    return patchCount(this.config);
  }

  /** Tokens of one image: its patches and the class token. */
  get length(): number {
    return this.patches + 1;
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('Vim', images, this.config);
    const stream = F.atLeastFloat32(this.embed(images, probe));
    const x = this.#runner.forward(stream, images.dtype, probe);
    // RMSNorm works token by token: only of the one that the classifier reads is it computed.
    return classLogits(this.#norm.forward(x.select(1, middleOf(this.patches))), this.#head);
  }

  /**
   * What the first layer sees.
   * @param images - as for `forward`
   * @returns shape [batch, patches + 1, dModel]
   */
  embed(images: Tensor, probe?: UnitProbe): Tensor {
    return scope(() => {
      const patches = this.#patchEmbed.forward(images, probe);
      const middle = middleOf(this.patches);
      const [token, position] = [this.#clsToken, this.#posEmbed].map((weight) =>
        F.weightFor(weight, patches.dtype),
      ) as [Tensor, Tensor];
      const parts = [
        patches.narrow(1, 0, middle),
        token.expand(images.size(0), -1, -1),
        patches.narrow(1, middle, this.patches - middle),
      ];
      return cat(parts, 1).add(position);
    });
  }

  packWeights(dtype: DType): PackedWeights | undefined {
    return this.#runner.pack(dtype);
  }

  multiplyIn(precision: ProductPrecision): KeptProducts | undefined {
    return this.#patchEmbed.product.along(this.#runner.multiplyIn(precision));
  }

  pruningGroups(): PruningGroup[] {
    return this.#layers.flatMap(layerGroups);
  }

  macs(): MacsEntry[] {
    return [
      { name: 'patch_embed', macs: this.patches * this.#patchEmbed.proj.weight.numel },
      ...this.#layers.map((layer, index) => layerMacs(layer, index, this.length)),
      { name: 'head', macs: this.#head.weight.numel },
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): Vim {
    return new Vim({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
