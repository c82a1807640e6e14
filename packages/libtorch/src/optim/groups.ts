import type { Module } from '../nn/module.js';
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
