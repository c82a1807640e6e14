// Vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) in the sizes of DeiT, with the
// parameter names of timm's VisionTransformer, so that state dicts cross over both ways.
//   x = [class token; patches] + pos_embed
//   x = x + attn(norm1(x));  x = x + mlp(norm2(x))
//   logits = head(norm(x)[0])
// Models of others also have distillation and register tokens, or no class token and the mean over the patches:
// config.ts says which there are.
import {
  DerivedWeights,
  F,
  type Tensor,
  cat,
  isGradEnabled,
  nn,
  noGrad,
  randn,
  scope,
  zeros,
} from '@mamba-prune/libtorch';
import type { PruningGroup } from '../groups.js';
import { checkImages, dropPathRate } from '../config-checks.js';
import {
  type GroupProbe,
  type ImageModel,
  type MacsEntry,
  type UnitProbe,
  probeOf,
} from '../image-model.js';
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
import { Mlp } from '../layers/mlp.js';
import { embedPatches } from '../layers/patches.js';

/** One child called `proj`, as timm names it. */
class PatchEmbed extends nn.Module {
  readonly proj: nn.Conv2d;

  constructor(channels: number, dModel: number, patchSize: number) {
    super();
    this.proj = this.child(
      'proj',
      new nn.Conv2d(channels, dModel, patchSize, { stride: patchSize }),
    );
  }

  /** @returns shape [batch, patches, dModel] */
  override forward(images: Tensor): Tensor {
    return embedPatches(images, this.proj);
  }
}

/** Multi-head self-attention. Fewer heads make it narrower inside; their width stays. */
class Attention extends nn.Module {
  readonly qkv: nn.Linear;
  readonly proj: nn.Linear;

  constructor(
    dModel: number,
    readonly heads: number,
    readonly headDim: number,
  ) {
    super();
    this.qkv = this.child('qkv', new nn.Linear(dModel, 3 * heads * headDim));
    this.proj = this.child('proj', new nn.Linear(heads * headDim, dModel));
  }

  /**
   * @param x - shape [batch, length, dModel]
   * @returns what the heads saw, side by side, before proj: shape [batch, length, heads * headDim]
   */
  inner(x: Tensor, probe?: GroupProbe): Tensor {
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

  override forward(x: Tensor, probe?: GroupProbe): Tensor {
    return this.proj.forward(this.inner(x, probe));
  }

  /** For `length` tokens: the projections, q kᵀ and the weighted sum of v. Softmax is not counted. */
  macs(length: number): number {
    const products = 2 * length * length * this.heads * this.headDim;
    return length * (this.qkv.weight.numel + this.proj.weight.numel) + products;
  }
}

class Block extends nn.Module {
  readonly norm1: nn.LayerNorm;
  readonly attn: Attention;
  readonly norm2: nn.LayerNorm;
  readonly mlp: Mlp;
  readonly dropPath: number;
  /** The matrices of qkv, proj, fc1 and fc2 for the operator that does a whole block. */
  readonly #packed: DerivedWeights;

  constructor(
    config: VitConfig,
    readonly index: number,
  ) {
    super();
    const { dModel, widths, dropPath, depth, eps = defaultEps } = config;
    this.dropPath = dropPathRate(dropPath, index, depth);
    this.norm1 = this.child('norm1', new nn.LayerNorm(dModel, { eps }));
    const heads = widths[attentionGroup(index)] as number;
    this.attn = this.child('attn', new Attention(dModel, heads, headDimIn(config, index)));
    this.norm2 = this.child('norm2', new nn.LayerNorm(dModel, { eps }));
    this.mlp = this.child(
      'mlp',
      new Mlp(dModel, widths[mlpGroup(index)] as number, ['fc1', 'fc2']),
    );
    const { attn, mlp } = this;
    const matrices = [attn.qkv, attn.proj, mlp.fc1, mlp.fc2].map(({ weight }) => weight);
    this.#packed = new DerivedWeights(matrices, () =>
      matrices.map((matrix) => F.packWeights(matrix.unsqueeze(0))),
    );
  }

  /** @param x - shape [batch, length, dModel]; the result has the same shape */
  override forward(x: Tensor, probe?: UnitProbe): Tensor {
    if (
      !probe &&
      !this.training &&
      !isGradEnabled() &&
      x.device === 'cpu' &&
      x.dtype === 'float32'
    ) {
      return this.#fused(x);
    }
    return scope(() => this.#forward(x, probe));
  }

  override train(on = true): this {
    if (on) this.#packed.release();
    return super.train(on);
  }

  override dispose(): void {
    this.#packed.release();
    super.dispose();
  }

  /** As one operator. */
  #fused(x: Tensor): Tensor {
    const { norm1, attn, norm2, mlp } = this;
    const [qkv, proj, fc1, fc2] = this.#packed.get() as [Tensor, Tensor, Tensor, Tensor];
    const weights = {
      norm1Weight: norm1.weight as Tensor,
      norm1Bias: norm1.bias as Tensor,
      qkv,
      qkvBias: attn.qkv.bias as Tensor,
      proj,
      projBias: attn.proj.bias as Tensor,
      norm2Weight: norm2.weight as Tensor,
      norm2Bias: norm2.bias as Tensor,
      fc1,
      fc1Bias: mlp.fc1.bias as Tensor,
      fc2,
      fc2Bias: mlp.fc2.bias as Tensor,
    };
    return F.vitBlock(x, weights, {
      heads: attn.heads,
      headDim: attn.headDim,
      eps: norm1.eps,
    });
  }

  #forward(x: Tensor, probe?: UnitProbe): Tensor {
    const { attn, mlp, dropPath } = this;
    const attnProbe = probeOf(probe, attentionGroup(this.index));
    const mlpProbe = probeOf(probe, mlpGroup(this.index));
    if (this.training && dropPath > 0) {
      const y = x.add(F.dropPath(attn.forward(this.norm1.forward(x), attnProbe), dropPath, true));
      return y.add(F.dropPath(mlp.forward(this.norm2.forward(y), mlpProbe), dropPath, true));
    }
    // Each branch frees what it made before the next begins, which then finds that memory in the cache.
    const y = scope(() => attn.proj.forward(attn.inner(this.norm1.forward(x), attnProbe), x));
    return scope(() => mlp.fc2.forward(mlp.inner(this.norm2.forward(y), mlpProbe), y));
  }

  groups(): PruningGroup[] {
    const { index, attn, mlp } = this;
    const prefix = `blocks.${index}`;
    return [
      {
        name: attentionGroup(index),
        kind: 'heads',
        size: attn.heads,
        members: headMembers(`${prefix}.attn`, attn),
      },
      {
        name: mlpGroup(index),
        kind: 'mlp',
        size: mlp.fc1.weight.size(0),
        members: [
          { parameter: `${prefix}.mlp.fc1.weight`, dim: 0, scored: true, regularized: true },
          { parameter: `${prefix}.mlp.fc1.bias`, dim: 0 },
          { parameter: `${prefix}.mlp.fc2.weight`, dim: 1, scored: true, consumer: true },
        ],
      },
    ];
  }
}

/**
 * Where head h appears: rows of q, of k and of v in the joint projection, columns of proj. Scored are
 * the rows of v and the columns of proj, what a head reads from the tokens and what it writes, as the
 * two layers of an MLP are; q and k only decide which tokens it looks at.
 */
function headMembers(prefix: string, { heads, headDim }: Attention): PruningGroup['members'] {
  const unitSize = headDim;
  const [q, k, v] = [0, heads * headDim, 2 * heads * headDim] as const;
  return [
    { parameter: `${prefix}.qkv.weight`, dim: 0, offset: q, unitSize },
    { parameter: `${prefix}.qkv.weight`, dim: 0, offset: k, unitSize },
    { parameter: `${prefix}.qkv.weight`, dim: 0, offset: v, unitSize, scored: true },
    { parameter: `${prefix}.qkv.bias`, dim: 0, offset: q, unitSize },
    { parameter: `${prefix}.qkv.bias`, dim: 0, offset: k, unitSize },
    { parameter: `${prefix}.qkv.bias`, dim: 0, offset: v, unitSize },
    { parameter: `${prefix}.proj.weight`, dim: 1, unitSize, scored: true, consumer: true },
  ];
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
    const patches = this.#patchEmbed.forward(images);
    const batch = images.size(0);
    const [position, ...prefix] = [this.#posEmbed, ...this.#prefix].map((weight) =>
      F.weightFor(weight, patches.dtype),
    ) as [Tensor, ...Tensor[]];
    const tokens = [...prefix.map((token) => token.expand(batch, -1, -1)), patches];
    let x = cat(tokens, 1).add(position);
    for (const block of this.#blocks) x = block.forward(x, probe);
    return this.#classify(x);
  }

  /** LayerNorm works token by token: only of those that the classifier reads is it computed. */
  #classify(x: Tensor): Tensor {
    const { pooling = 'token', poolsBeforeNorm = false } = this.config;
    const token = (index: number) => this.#norm.forward(F.atLeastFloat32(x.select(1, index)));
    if (this.#headDist) {
      const sum = this.#head.forward(token(0)).add(this.#headDist.forward(token(1)));
      return sum.mul(0.5);
    }
    if (pooling === 'token') return this.#head.forward(token(0));
    const patches = x.narrow(1, prefixTokens(this.config), this.patches);
    if (poolsBeforeNorm) {
      return this.#head.forward(this.#norm.forward(F.meanFloat32(patches, [1])));
    }
    const mean = this.#norm.forward(F.atLeastFloat32(patches)).mean([1]);
    return this.#head.forward(pooling === 'mean' ? mean : cat([token(0), mean], 1));
  }

  override dispose(): void {
    for (const block of this.#blocks) block.dispose();
    super.dispose();
  }

  pruningGroups(): PruningGroup[] {
    return this.#blocks.flatMap((block) => block.groups());
  }

  macs(): MacsEntry[] {
    const { length } = this;
    return [
      { name: 'patch_embed', macs: this.patches * this.#patchEmbed.proj.weight.numel },
      ...this.#blocks.flatMap(({ index, attn, mlp }) => [
        { name: attentionGroup(index), macs: attn.macs(length) },
        {
          name: mlpGroup(index),
          macs: length * (mlp.fc1.weight.numel + mlp.fc2.weight.numel),
        },
      ]),
      { name: 'head', macs: this.#head.weight.numel },
      ...(this.#headDist ? [{ name: 'head_dist', macs: this.#headDist.weight.numel }] : []),
    ];
  }

  withWidths(widths: Readonly<Record<string, number>>): VisionTransformer {
    return new VisionTransformer({ ...this.config, widths: { ...this.config.widths, ...widths } });
  }
}
