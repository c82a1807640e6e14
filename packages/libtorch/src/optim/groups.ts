// Parameters that share options, and which of them have no weight decay.
import type { Module } from '../nn/module.js';
import { Conv2d } from '../nn/conv.js';
import { Linear } from '../nn/linear.js';
import { BatchNorm2d, LayerNorm } from '../nn/norm.js';
import type { Tensor } from '../tensor.js';
import type { ParamGroupOptions } from './param-groups.js';

/**
 * Parameters that weight decay would harm though they may have two dimensions or more, by the last part of their names.
 * Everything of at most one dimension (biases, D, the bias of dt_proj, scales) and every norm is without decay anyway.
 */
export const noDecayNames: readonly string[] = [
  // A = -exp(A_log) says how long a state lasts: pulled to 0, every state would come to last equally long. The authors of
  // Mamba mark it and D so (`_no_weight_decay`); with _b those of the second direction (Zhu et al. 2024).
  'A_log',
  'D',
  'A_b_log',
  'D_b',
  // The same of VMamba's four directions, and the biases of their step sizes, which are a table there.
  'A_logs',
  'Ds',
  'dt_projs_bias',
  // Where a token is and what it starts from, no weights that multiply anything: `no_weight_decay()` of timm's DeiT and of
  // Vision Mamba.
  'pos_embed',
  'cls_token',
  'dist_token',
  'reg_token',
  'cls_token_head',
  'cls_token_tail',
];

/**
 * A model's parameters in two groups, with and without weight decay. Without: biases, norms and
 * everything else of at most one dimension, and the names given.
 *
 * @param exempt - last parts of names. Default `noDecayNames`.
 */
export function decayGroups(
  module: Module,
  weightDecay: number,
  exempt: readonly string[] = noDecayNames,
): [ParamGroupOptions, ParamGroupOptions] {
  const norms = new Set<Tensor>();
  for (const part of module.namedModules().values()) {
    if (part instanceof LayerNorm || part instanceof BatchNorm2d) {
      for (const tensor of part.parameters()) norms.add(tensor);
    }
  }
  const decayed: Tensor[] = [];
  const others: Tensor[] = [];
  for (const [name, tensor] of module.namedParameters()) {
    const last = name.slice(name.lastIndexOf('.') + 1);
    const free = tensor.ndim <= 1 || norms.has(tensor) || exempt.includes(last);
    (free ? others : decayed).push(tensor);
  }
  return [
    { params: decayed, weightDecay },
    { params: others, weightDecay: 0 },
  ];
}

/**
 * The groups for `Muon`: the matrices inside the network, then the rest as `decayGroups` has it. Inside
 * are the weights of linear layers and convolutions of images but of the first such layer, which embeds the pixels,
 * and of the last, the classifier: their steps have no reason to be orthogonal (Jordan et al. 2024). Nor have those of
 * tables (A_log, embeddings) and of depthwise convolutions, a filter per channel.
 */
export function muonGroups(
  module: Module,
  weightDecay: number,
  exempt?: readonly string[],
): ParamGroupOptions[] {
  // One that is used in two places counts once.
  const layers = new Set(
    [...module.namedModules().values()].filter(
      (part) => part instanceof Linear || part instanceof Conv2d,
    ),
  );
  const inside = new Set(
    [...layers]
      .slice(1, -1)
      .filter((part) => !(part instanceof Conv2d && isDepthwise(part)))
      .map(({ weight }): Tensor => weight),
  );
  return [
    { params: [...inside], weightDecay, orthogonalize: true },
    ...decayGroups(module, weightDecay, exempt).map((group) => ({
      ...group,
      params: group.params.filter((tensor) => !inside.has(tensor)),
    })),
  ];
}

const isDepthwise = ({ groups, inChannels }: Conv2d): boolean =>
  groups > 1 && groups === inChannels;
