// Vision transformer, in the sizes of DeiT.
//
//   x      = [class token; patch_embed(image)] + pos_embed     equation 1 of [1]
//   x      = x + attn(norm1(x))                                2, in each block
//   x      = x + mlp(norm2(x))                                 3
//   logits = head(norm(x)[0])                                  4
//
// References:
//   [1] Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, arXiv 2010.11929
//   [2] Touvron et al. 2021, Training data-efficient image transformers & distillation through attention (DeiT),
//       arXiv 2012.12877
//
// Glossary, from the names here to the symbols of [1]:
//
//   dModel            D               width of the residual stream
//   patches           N               `length` counts the tokens before the patches too
//   heads, headDim    k, D_h          after pruning, heads * headDim is less than D
//   qkv, proj         U_qkv, U_msa    appendix A
//   patch_embed       E               a convolution whose stride is its kernel
//   pos_embed         E_pos
//
// Models of others also have distillation and register tokens, or no class token and the mean over the patches:
// config.ts says which there are. The parameter names are those of timm's VisionTransformer, so state dicts cross over
// both ways.
import { F, type Tensor, cat, nn, noGrad, randn, scope, zeros } from '@mamba-prune/libtorch';
import { type ProductPrecision, classLogits } from '@mamba-prune/libtorch/kernels';
import type { KeptProducts } from '../layers/low-products.js';
import { checkImages, dropPathRate } from '../config-checks.js';
import type { PruningGroup } from '../groups.js';
import {
  type GroupProbe,
  type ImageModel,
  type MacsEntry,
  type UnitProbe,
  probeOf,
} from '../image-model.js';
import { Mlp } from '../layers/mlp.js';
import { PatchProduct } from '../layers/patch-product.js';
import { Branch, residual } from '../layers/residual.js';
import {
  type VitConfig,
  attentionGroup,
  checkVitConfig,
  defaultEps,
  headDimIn,
  mlpGroup,
  pooledWidth,
  prefixTokens,
} from './config.js';
import { blockGroups, blockMacs } from './groups.js';
import { BlockRunner } from './run.js';

/** One child called `proj`, as timm names it. */
class PatchEmbed extends nn.Module {
  readonly proj: nn.Conv2d;
  readonly product: PatchProduct;

  constructor(channels: number, dModel: number, patchSize: number) {
    super();
    this.proj = this.child(
      'proj',
      new nn.Conv2d(channels, dModel, patchSize, { stride: patchSize }),
    );
    this.product = new PatchProduct(this.proj);
  }

  /** @returns shape [batch, patches, dModel] */
  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    return this.product.forward(images, probe);
  }
}

/** Multi-head self-attention. Fewer heads make it narrower inside; their width stays. The heads are the units of this branch. */
export class Attention extends Branch {
  /** q, k and v of all heads, in this order. */
  readonly qkv: nn.Linear;
  readonly proj: nn.Linear;

  readonly heads: number;
  readonly headDim: number;

  constructor(dModel: number, heads: number, headDim: number) {
    super();
    this.heads = heads;
    this.headDim = headDim;
    this.qkv = this.child('qkv', new nn.Linear(dModel, 3 * heads * headDim));
    this.proj = this.child('proj', new nn.Linear(heads * headDim, dModel));
  }

  override get reader(): nn.Linear {
    return this.proj;
  }

  /** @returns what the heads saw, side by side: shape [batch, length, heads * headDim] */
  override inner(x: Tensor, probe?: GroupProbe): Tensor {
    const { heads, headDim } = this;
    const [batch, length] = x.shape as [number, number];
    const [q, k, v] = this.qkv
      .forward(x)
      .view(batch, length, 3, heads, headDim)
      .permute(2, 0, 3, 1, 4)
      .unbind(0) as [Tensor, Tensor, Tensor];
    const seen = F.scaledDotProductAttention(q, k, v)
      .transpose(1, 2)
      .reshape(batch, length, heads * headDim);
    const y = probe?.gate(seen, 2) ?? seen;
    probe?.output(y, 2);
    return y;
  }
}

/** x = x + attn(norm1(x)), x = x + mlp(norm2(x)). */
export class Block extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly attn: Attention;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Mlp;
  /** Chance that a sample goes without a branch in training. */
  readonly dropPath: number;
  /** Names of the groups that a probe is shown. */
  readonly #groups: { readonly attn: string; readonly mlp: string };

  constructor(config: VitConfig, index: number) {
    super();
    const { dModel, widths, dropPath, depth, eps = defaultEps } = config;
    this.#groups = { attn: attentionGroup(index), mlp: mlpGroup(index) };
    this.dropPath = dropPathRate(dropPath, index, depth);
    const heads = widths[this.#groups.attn] as number;
    const hidden = widths[this.#groups.mlp] as number;
    this.norm1 = this.child('norm1', new nn.LayerNorm(dModel, { eps }));
    this.attn = this.child('attn', new Attention(dModel, heads, headDimIn(config, index)));
    this.norm2 = this.child('norm2', new nn.LayerNorm(dModel, { eps }));
    this.mlp = this.child('mlp', new Mlp(dModel, hidden, ['fc1', 'fc2']));
  }

  /**
   * Operator by operator; `BlockRunner` knows faster ways.
   * @param x - shape [batch, length, dModel]; the result has the same shape
   */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    const dropPath = this.training ? this.dropPath : 0;
    const branch = (group: string) => ({ dropPath, probe: probeOf(probe, group) });
    return scope(() => {
      const y = residual(x, this.norm1, this.attn, branch(this.#groups.attn));
      return residual(y, this.norm2, this.mlp, branch(this.#groups.mlp));
    });
  }
}

/** A vision transformer of any widths: the dense one and each of its pruned forms. */
export class VisionTransformer extends nn.Module implements ImageModel {
  readonly config: VitConfig;
  /** Tokens before the patches, each of shape [1, count, dModel]. */
  readonly #prefix: readonly Tensor[];
  readonly #posEmbed: Tensor;
  readonly #patchEmbed: PatchEmbed;
  readonly #blocks: readonly Block[];
  readonly #norm: nn.LayerNorm;
  readonly #head: nn.Linear;
  /** Of a distilled model: what its second token is read by. */
  readonly #headDist: nn.Linear | undefined;
  readonly #runner: BlockRunner;

  constructor(config: VitConfig) {
    super();
    this.config = checkVitConfig(config);
    const { dModel, depth, patchSize, channels, numClasses, eps = defaultEps } = config;
    const { classToken = true, distilled = false, registers = 0 } = config;
    const tokens = {
      cls_token: Number(classToken),
      dist_token: Number(distilled),
      reg_token: registers,
    };
    this.#prefix = Object.entries(tokens)
      .filter(([, count]) => count > 0)
      .map(([name, count]) =>
        this.parameter(
          name,
          noGrad(() => randn([1, count, dModel]).mul(1e-6)),
        ),
      );
    this.#posEmbed = this.parameter(
      'pos_embed',
      nn.init.truncNormal(zeros([1, this.length, dModel]), { std: 0.02 }),
    );
    this.#patchEmbed = this.child('patch_embed', new PatchEmbed(channels, dModel, patchSize));
    const blocks = Array.from({ length: depth }, (_, index) => new Block(config, index));
    this.#blocks = this.child('blocks', new nn.ModuleList(blocks)).items;
    this.#runner = this.derived(new BlockRunner(this.#blocks));
    this.#norm = this.child('norm', new nn.LayerNorm(dModel, { eps }));
    const classifier = () => new nn.Linear(pooledWidth(config), numClasses);
    this.#head = this.child('head', classifier());
    this.#headDist = distilled ? this.child('head_dist', classifier()) : undefined;
    // timm's: every Linear from a truncated normal with zero bias; the patch projection keeps PyTorch's.
    for (const module of this.namedModules().values()) {
      if (!(module instanceof nn.Linear)) continue;
      nn.init.truncNormal(module.weight, { std: 0.02 });
      nn.init.constant(module.bias as Tensor, 0);
    }
  }

  /** Tokens of one image: its patches, and those before them. */
  get length(): number {
    return this.patches + prefixTokens(this.config);
  }

  get patches(): number {
    return (this.config.imageSize / this.config.patchSize) ** 2;
  }

  override forward(images: Tensor, probe?: UnitProbe): Tensor {
    checkImages('VisionTransformer', images, this.config);
    const patches = this.#patchEmbed.forward(images, probe);
    const batch = images.size(0);
    const [position, ...prefix] = [this.#posEmbed, ...this.#prefix].map((weight) =>
      F.weightFor(weight, patches.dtype),
    ) as [Tensor, ...Tensor[]];
    const tokens = [...prefix.map((token) => token.expand(batch, -1, -1)), patches];
    const embedded = cat(tokens, 1).add(position);
    // All blocks, one after the other, by their own `forward` or by something faster.
    return this.#classify(this.#runner.forward(embedded, probe));
  }

  /** LayerNorm works token by token: only of those that the classifier reads is it computed. */
  #classify(x: Tensor): Tensor {
    const { pooling = 'token', poolsBeforeNorm = false } = this.config;
    const token = (index: number) => this.#norm.forward(F.atLeastFloat32(x.select(1, index)));
    if (this.#headDist) {
      const sum = classLogits(token(0), this.#head).add(classLogits(token(1), this.#headDist));
      return sum.mul(0.5);
    }
    if (pooling === 'token') return classLogits(token(0), this.#head);
    const patches = x.narrow(1, prefixTokens(this.config), this.patches);
    if (poolsBeforeNorm) {
      return classLogits(this.#norm.forward(F.meanFloat32(patches, [1])), this.#head);
    }
    const mean = this.#norm.forward(F.atLeastFloat32(patches)).mean([1]);
    return classLogits(pooling === 'mean' ? mean : cat([token(0), mean], 1), this.#head);
  }

  multiplyIn(precision: ProductPrecision): KeptProducts | undefined {
    return this.#patchEmbed.product.along(this.#runner.multiplyIn(precision));
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap(blockGroups);
  }

  macs(): MacsEntry[] {
    return [
      { name: 'patch_embed', macs: this.patches * this.#patchEmbed.proj.weight.numel },
      ...this.#blocks.flatMap((block, index) => blockMacs(block, index, this.length)),
      { name: 'head', macs: this.#head.weight.numel },
      ...(this.#headDist ? [{ name: 'head_dist', macs: this.#headDist.weight.numel }] : []),
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): VisionTransformer {
    return new VisionTransformer({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
