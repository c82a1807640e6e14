// A state dict of ours under the names that other programs have for the same tensors.
import { type Tensor, noGrad } from '@mamba-prune/libtorch';

type Tensors = Map<string, Tensor>;

/** The first rule that matches renames; `$1` is the number of the block. */
type Rules = readonly (readonly [RegExp, string])[];

function renamed(tensors: Tensors, rules: Rules): Tensors {
  return new Map(
    Array.from(tensors, ([name, tensor]) => {
      const rule = rules.find(([pattern]) => pattern.test(name));
      return [rule ? name.replace(...rule) : name, tensor];
    }),
  );
}

export function asTorchvision(tensors: Tensors, linear: readonly [string, string]): Tensors {
  const block = 'encoder.layers.encoder_layer_$1.';
  return renamed(tensors, [
    [/^cls_token$/, 'class_token'],
    [/^pos_embed$/, 'encoder.pos_embedding'],
    [/^patch_embed\.proj/, 'conv_proj'],
    [/^blocks\.(\d+)\.norm([12])/, `${block}ln_$2`],
    [/^blocks\.(\d+)\.attn\.qkv\.(.+)/, `${block}self_attention.in_proj_$2`],
    [/^blocks\.(\d+)\.attn\.proj/, `${block}self_attention.out_proj`],
    [/^blocks\.(\d+)\.mlp\.fc1/, `${block}mlp.${linear[0]}`],
    [/^blocks\.(\d+)\.mlp\.fc2/, `${block}mlp.${linear[1]}`],
    [/^norm/, 'encoder.ln'],
    [/^head/, 'heads.head'],
  ]);
}

/** With its backbone under a prefix and its classifier beside it, as its checkpoints have them. */
export function asMmpretrain(tensors: Tensors): Tensors {
  const block = 'backbone.layers.$1.';
  return renamed(tensors, [
    [/^patch_embed\.proj/, 'backbone.patch_embed.projection'],
    [/^blocks\.(\d+)\.norm([12])/, `${block}ln$2`],
    [/^blocks\.(\d+)\.attn\./, `${block}attn.`],
    [/^blocks\.(\d+)\.ls1\.gamma/, `${block}attn.gamma1.weight`],
    [/^blocks\.(\d+)\.ls2\.gamma/, `${block}ffn.gamma2.weight`],
    [/^blocks\.(\d+)\.mlp\.fc1/, `${block}ffn.layers.0.0`],
    [/^blocks\.(\d+)\.mlp\.fc2/, `${block}ffn.layers.1`],
    [/^norm/, 'backbone.ln1'],
    [/^head/, 'head.layers.head'],
    [/^/, 'backbone.'],
  ]);
}

/** Query, key and value apart. @param version - of Transformers: 5 has shorter names */
export function asHuggingFace(tensors: Tensors, prefix: string, version: 4 | 5): Tensors {
  const apart: Tensors = new Map();
  for (const [name, tensor] of tensors) {
    const match = /^(.*attn\.)qkv\.(weight|bias)$/.exec(name);
    const parts = match ? noGrad(() => tensor.chunk(3, 0)) : [tensor];
    parts.forEach((part, i) => {
      apart.set(match ? `${match[1]}${'qkv'[i]}.${match[2]}` : name, part);
    });
  }
  const block = `${prefix}${version === 4 ? 'encoder.layer' : 'layers'}.$1.`;
  const projections = { q: 'query', k: 'key', v: 'value' };
  return renamed(apart, [
    [/^cls_token$/, `${prefix}embeddings.cls_token`],
    [/^dist_token$/, `${prefix}embeddings.distillation_token`],
    [/^reg_token$/, `${prefix}embeddings.register_tokens`],
    [/^pos_embed$/, `${prefix}embeddings.position_embeddings`],
    [/^patch_embed\.proj/, `${prefix}embeddings.patch_embeddings.projection`],
    [/^blocks\.(\d+)\.norm1/, `${block}layernorm_before`],
    [/^blocks\.(\d+)\.norm2/, `${block}layernorm_after`],
    ...Object.entries(projections).map(
      ([short, long]) =>
        [
          new RegExp(`^blocks\\.(\\d+)\\.attn\\.${short}\\.`),
          version === 4
            ? `${block}attention.attention.${long}.`
            : `${block}attention.${short}_proj.`,
        ] as const,
    ),
    [
      /^blocks\.(\d+)\.attn\.proj/,
      `${block}${version === 4 ? 'attention.output.dense' : 'attention.o_proj'}`,
    ],
    [/^blocks\.(\d+)\.mlp\.fc1/, `${block}${version === 4 ? 'intermediate.dense' : 'mlp.fc1'}`],
    [/^blocks\.(\d+)\.mlp\.fc2/, `${block}${version === 4 ? 'output.dense' : 'mlp.fc2'}`],
    [/^norm/, `${prefix}layernorm`],
    [/^head_dist/, 'distillation_classifier'],
    [/^head/, 'classifier'],
  ]);
}

export function asHuggingFaceResNet(tensors: Tensors): Tensors {
  const stage = (name: string) =>
    name.replace(/^layer(\d+)/, (_, n: string) => `resnet.encoder.stages.${Number(n) - 1}.layers`);
  const inner = (name: string) =>
    stage(name)
      .replace(
        /\.(conv|bn)(\d)\./,
        (_, kind: string, n: string) =>
          `.layer.${Number(n) - 1}.${kind === 'conv' ? 'convolution' : 'normalization'}.`,
      )
      .replace('downsample.0', 'shortcut.convolution')
      .replace('downsample.1', 'shortcut.normalization');
  return new Map(
    Array.from(tensors, ([name, tensor]) => {
      if (name.startsWith('conv1.')) return [`resnet.embedder.embedder.convolution.weight`, tensor];
      if (name.startsWith('bn1.')) {
        return [name.replace('bn1', 'resnet.embedder.embedder.normalization'), tensor];
      }
      return [name.startsWith('fc.') ? name.replace('fc', 'classifier.1') : inner(name), tensor];
    }),
  );
}

/** Of pytorch-cifar100. */
export function asWeiaicunzai(tensors: Tensors): Tensors {
  const stage = (name: string): string =>
    name.replace(/^layer(\d+)\./, (_, index: string) => `conv${Number(index) + 1}_x.`);
  const inBranch = (index: string, place: number): number => 3 * (Number(index) - 1) + place;
  return new Map(
    Array.from(tensors, ([name, tensor]) => {
      const stem = name.replace(/^conv1\./, 'conv1.0.').replace(/^bn1\./, 'conv1.1.');
      if (stem !== name) return [stem, tensor];
      const inside = name
        .replace('.downsample.', '.shortcut.')
        .replace(/\.conv(\d)\./, (_, i: string) => `.residual_function.${inBranch(i, 0)}.`)
        .replace(/\.bn(\d)\./, (_, i: string) => `.residual_function.${inBranch(i, 1)}.`);
      return [stage(inside), tensor];
    }),
  );
}

export function asKuangliu(tensors: Tensors): Tensors {
  return renamed(tensors, [
    [/^fc\./, 'linear.'],
    [/^(layer\d+\.\d+)\.downsample/, '$1.shortcut'],
  ]);
}
