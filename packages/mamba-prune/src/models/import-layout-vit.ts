// timm's VisionTransformer (vit_tiny_patch16_224 and its like, DeiT without distillation).
import { FormatError } from '@mamba-prune/libtorch';
import { mlpGroup } from './config.js';
import type { Layout } from './import-layout.js';
import { ShapeReader } from './import-shapes.js';
import { type VitSizes, attentionGroup, headDimOf, vitArchitectures } from './vit-config.js';

// No shape tells the number of heads: only width and depth tell the architectures apart.
const architectures = Object.fromEntries(
  Object.entries(vitArchitectures).map(([name, { dModel, depth }]) => [name, { dModel, depth }]),
);

export const vitLayout: Layout = {
  architectures,

  recognises: (shapes) => shapes.has('blocks.0.attn.qkv.weight'),

  read(shapes) {
    const reader = new ShapeReader('vit', shapes);
    const depth = reader.count('blocks');
    const dModel = reader.size('cls_token', 2, 3);
    const patchSize = reader.size('patch_embed.proj.weight', 2, 4);
    const sizes = {
      dModel,
      depth,
      patchSize,
      imageSize: reader.imageSize(patchSize, 1),
      channels: reader.size('patch_embed.proj.weight', 1, 4),
      numClasses: reader.size('head.weight', 0, 2),
    };
    return {
      sizes,
      config(arch, options) {
        const known: Readonly<Record<string, VitSizes>> = vitArchitectures;
        const heads = options.heads ?? known[arch]?.heads ?? 1;
        const headDim = headDimOf(dModel, heads);
        const widths: Record<string, number> = {};
        for (let block = 0; block < depth; block++) {
          widths[attentionGroup(block)] = headsOf(reader, block, headDim);
          widths[mlpGroup(block)] = reader.size(`blocks.${block}.mlp.fc1.weight`, 0, 2);
        }
        const dropPath = options.dropPath ?? 0;
        return {
          config: { family: 'vit', arch, ...sizes, headDim, dropPath, widths },
          assumed: options.heads === undefined ? [`heads ${heads}`] : [],
        };
      },
    };
  },
};

function headsOf(reader: ShapeReader, block: number, headDim: number): number {
  const name = `blocks.${block}.attn.qkv.weight`;
  const rows = reader.size(name, 0, 2);
  if (rows === 0 || rows % (3 * headDim) !== 0) {
    throw new FormatError(
      `import: got '${name}' of ${rows} rows, expected a multiple of ${3 * headDim}: q, k and v of heads of width ${headDim}. ` +
        'Give the number of heads that the model had before it was ever pruned.',
    );
  }
  return rows / (3 * headDim);
}
