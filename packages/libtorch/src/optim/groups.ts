import type { Module } from '../nn/module.js';
import { Conv2d } from '../nn/conv.js';
import { Linear } from '../nn/linear.js';
import { BatchNorm2d, LayerNorm } from '../nn/norm.js';
import type { Tensor } from '../tensor.js';
import type { ParamGroupOptions } from './optimizer.js';

/** Parameters of more than one dimension that weight decay would harm all the same. */
const EXEMPT = ['A_log', 'D', 'pos_embed'];

/**
 * A model's parameters in two groups, with and without weight decay. Without: biases, norms and
 * everything else of at most one dimension, and the names given.
 *
 * @param exempt - last parts of names; those of Mamba and of position embeddings unless given
 */
export function decayGroups(
  module: Module,
  weightDecay: number,
  exempt: readonly string[] = EXEMPT,
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
 * are the weights of linear layers and convolutions but of the first such layer, which embeds the pixels,
 * and of the last, the classifier: their steps have no reason to be orthogonal (Jordan et al. 2024).
 */
export function muonGroups(
  module: Module,
  weightDecay: number,
  exempt?: readonly string[],
): ParamGroupOptions[] {
  const layers = [...module.namedModules().values()].filter(
    (part) => part instanceof Linear || part instanceof Conv2d,
  );
  const matrices = layers.slice(1, -1).map(({ weight }) => weight);
  const inside = new Set<Tensor>(matrices);
  return [
    { params: matrices, weightDecay, orthogonalize: true },
    ...decayGroups(module, weightDecay, exempt).map((group) => ({
      ...group,
      params: group.params.filter((tensor) => !inside.has(tensor)),
    })),
  ];
}
