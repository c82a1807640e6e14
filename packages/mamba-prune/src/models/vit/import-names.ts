// A ViT's parameters as timm, torchvision, Hugging Face and mmpretrain name them, and what none of ours has.
import type { Shapes } from '../import/layout.js';
import type { Refusal, Rename } from '../import/state-dict.js';

/** Whose names a state dict has. */
export type VitNames = 'timm' | 'torchvision' | 'Hugging Face' | 'mmpretrain';

const telling: Readonly<Record<VitNames, RegExp>> = {
  // Those of attention and MLP side by side are known, to be refused by name.
  timm: /^blocks\.0\.(?:attn\.qkv|attns\.0\.attn\.qkv|attn_out_proj)\.weight$/,
  torchvision: /^encoder\.layers\.encoder_layer_0\.self_attention\.in_proj_weight$/,
  'Hugging Face': /^(?:\w+\.)?embeddings\.patch_embeddings\.projection\.weight$/,
  mmpretrain: /^layers\.0\.attn\.qkv\.weight$/,
};

/** How the names of classifiers begin that the rules below know. */
export const vitClassifiers: Readonly<Record<VitNames, RegExp>> = {
  timm: /^(?:head|head_dist)\./,
  torchvision: /^heads\./,
  'Hugging Face': /(?:^|\.)(?:cls_|distillation_)?classifier\./,
  // It has its classifier beside the backbone.
  mmpretrain: /^head\./,
};

const names = Object.entries(telling) as [VitNames, RegExp][];

/** Undefined if the tensors are those of no ViT. */
export function vitNamesOf(shapes: Shapes): VitNames | undefined {
  const all = [...shapes.keys()];
  const found = names.find(([, pattern]) => all.some((name) => pattern.test(name)))?.[0];
  // Transformers of texts have such layers too.
  const isOfImages = shapes.has('patch_embed.projection.weight');
  return found === 'mmpretrain' && !isOfImages ? undefined : found;
}

// Of torchvision 0.12 and newer, and before it (`mlp.linear_1`); the classifier may have been replaced.
const torchvision: readonly Rename[] = [
  [/^class_token$/, 'cls_token'],
  [/^conv_proj\./, 'patch_embed.proj.'],
  [/^encoder\.pos_embedding$/, 'pos_embed'],
  ...inBlocks(/encoder\.layers\.encoder_layer_(\d+)\./, [
    [/ln_([12])\./, 'norm$2.'],
    [/self_attention\.in_proj_(weight|bias)$/, 'attn.qkv.$2'],
    [/self_attention\.out_proj\./, 'attn.proj.'],
    [/mlp\.(?:0|linear_1)\./, 'mlp.fc1.'],
    [/mlp\.(?:3|linear_2)\./, 'mlp.fc2.'],
  ]),
  [/^encoder\.ln\./, 'norm.'],
  [/^heads\.(?:head\.)?(?:\d+\.)?(weight|bias)$/, 'head.$1'],
];

// ViT, DeiT and DINOv2 of Transformers 4 (`encoder.layer.0.attention.attention.query`) and 5 (`layers.0.attention.q_proj`).
const huggingFace: readonly Rename[] = [
  [/^embeddings\.cls_token$/, 'cls_token'],
  [/^embeddings\.distillation_token$/, 'dist_token'],
  [/^embeddings\.register_tokens$/, 'reg_token'],
  [/^embeddings\.mask_token$/, 'mask_token'],
  [/^embeddings\.position_embeddings$/, 'pos_embed'],
  [/^embeddings\.patch_embeddings\.projection\./, 'patch_embed.proj.'],
  ...inBlocks(/(?:encoder\.)?layers?\.(\d+)\./, [
    [/attention\.attention\.query\./, 'attn.q.'],
    [/attention\.attention\.key\./, 'attn.k.'],
    [/attention\.attention\.value\./, 'attn.v.'],
    [/attention\.([qkv])_proj\./, 'attn.$2.'],
    [/attention\.(?:output\.dense|o_proj)\./, 'attn.proj.'],
    [/intermediate\.dense\./, 'mlp.fc1.'],
    [/output\.dense\./, 'mlp.fc2.'],
    [/layernorm_before\./, 'norm1.'],
    [/layernorm_after\./, 'norm2.'],
    [/layer_scale([12])\.lambda1$/, 'ls$2.gamma'],
    [/(norm[12]|mlp\.fc[12])\./, '$2.'],
  ]),
  [/^layernorm\./, 'norm.'],
  [/^(?:cls_)?classifier\.(?:\d+\.)?/, 'head.'],
  [/^distillation_classifier\.(?:\d+\.)?/, 'head_dist.'],
  // Of a classifier that stood beside its backbone.
  [/^head\.\d+\./, 'head.'],
];

// The classifiers are beside the backbone, head.layers.head and head.layers.head_dist, which is left to whoever finds them there.
const mmpretrain: readonly Rename[] = [
  [/^patch_embed\.projection\./, 'patch_embed.proj.'],
  ...inBlocks(/layers\.(\d+)\./, [
    [/ln([12])\./, 'norm$2.'],
    [/attn\.gamma1\.weight$/, 'ls1.gamma'],
    [/ffn\.gamma2\.weight$/, 'ls2.gamma'],
    [/ffn\.layers\.0\.0\./, 'mlp.fc1.'],
    [/ffn\.layers\.1\./, 'mlp.fc2.'],
    [/(attn)\./, '$2.'],
  ]),
  [/^ln1\./, 'norm.'],
  [/^ln2\./, 'fc_norm.'],
  [/^head\.\d+\./, 'head.'],
];

// LayerScale of BEiT, CaiT and the first DeiT III; a classifier in a Sequential, behind a dropout.
const timm: readonly Rename[] = [
  // Of DINOv2's own repository.
  [/^register_tokens$/, 'reg_token'],
  [/^blocks\.(\d+)\.gamma_([12])$/, 'blocks.$1.ls$2.gamma'],
  [/^(head|head_dist)\.(?:\d+|fc|linear)\.(weight|bias)$/, '$1.$2'],
];

/** Rules for what is below a block, whose number is the first group of `block`. */
function inBlocks(block: RegExp, rules: readonly Rename[]): Rename[] {
  return rules.map(([pattern, to]) => [
    new RegExp(`^${block.source}${pattern.source}`),
    `blocks.$1.${to}`,
  ]);
}

/** To timm's names. @param all - every name in the file */
export function vitRenames(from: VitNames, all: readonly string[]): readonly Rename[] {
  if (from === 'timm') return timm;
  if (from === 'torchvision') return torchvision;
  if (from === 'mmpretrain') return mmpretrain;
  const anchor = all.find((name) => telling['Hugging Face'].test(name)) ?? '';
  const prefix = anchor.slice(0, anchor.indexOf('embeddings.'));
  if (prefix === '') return huggingFace;
  // `vit.`, `deit.`, `dinov2.` ... is before all names but the classifier's.
  const escaped = prefix.replaceAll('.', String.raw`\.`);
  return huggingFace.map(([pattern, to]) => [
    new RegExp(pattern.source.replace(/^\^/, `^(?:${escaped})?`)),
    to,
  ]);
}

/** In whichever names; what is not here and is no tensor of ours is refused as unexpected. */
export const vitRefusals: readonly Refusal[] = [
  [
    /\.lambda_[qk][12]$|\.attn\.sub_norm\./,
    'an attention that subtracts a second one (differential attention)',
  ],
  [
    /^blocks\.\d+\.(?:attns|ffns|attn_out_proj|mlp_out_proj|in_proj)\./,
    'blocks whose attentions and MLPs lie side by side (parallel)',
  ],
  [/\.(q_bias|v_bias|k_bias)$/, 'an attention with biases of its own for q and v (BEiT)'],
  [
    /relative_position|rel_pos|\.temperature$|relative_coords/,
    'an attention with relative positions (BEiT, Swin ...)',
  ],
  [
    /\.(q_norm|k_norm|norm_q|norm_k|query_norm|key_norm)\.|\.(layernorm|norm)_(query|key)\./,
    'an attention that normalises queries and keys (qk_norm)',
  ],
  [/\.attn\.(norm|ln)\.|\.mlp\.(norm|ffn_ln)\./, 'a block with a norm inside attention or MLP'],
  [
    /(?:^|\.)pooler\.layernorm\./,
    'a norm behind the pooling, and biases of the query and value alone (BEiT, Data2Vec)',
  ],
  [/\.attn\.gate\b|\.attn\.gate_proj\./, 'a gated attention'],
  [
    /\.ffn\.w12\.|\.mlp\.(w12|w3|w1|w2|fc1_g|fc1_x|gate_proj|up_proj|down_proj|weights_in|weights_out)\./,
    'an MLP with a gate (SwiGLU)',
  ],
  [
    /\.pooler\.dense\./,
    'the pooler of a ViTModel, a linear layer and a tanh (where the classifier reads last_hidden_state and not pooler_output, make the model with ' +
      'add_pooling_layer=False and save it again)',
  ],
  [
    /^(attn_pool|head\.(probe|attention|mlp))\b/,
    'a head that pools by attention (global_pool map)',
  ],
  [
    /^(norm_pre|pre_norm|pre_layernorm|pre_layrnorm|encoder\.ln_pre)\b/,
    'a norm before the blocks (CLIP)',
  ],
  [
    /^(pre_logits\.|heads\.pre_logits)/,
    'a hidden layer before the classifier (representation_size)',
  ],
  [
    /^patch_embed\.(?!proj(?:ection)?\.(weight|bias)$)|^conv_proj\.conv_bn|patch_embeddings\.backbone/,
    'an embedding of patches with more than one convolution (hybrid)',
  ],
  [/^(rope|pos_embed_h|pos_embed_w|freqs)|rope_embed|inv_freq/, 'rotary positions'],
  [/\.(adapter|adaptmlp)\./, 'adapters beside its layers'],
  [/^(blocks_token_only|cls_attn_blocks|decoder_)/, 'a second stack of blocks'],
];
