// What can be pruned in a block of a vision transformer, and what it costs. The groups: heads of the attention, and neurons
// of the MLP.
import type { GroupMember, PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import { attentionGroup, mlpGroup } from './config.js';
import type { Attention, Block } from './model.js';

/** @param index - of the block */
export function blockGroups({ attn, mlp }: Block, index: number): PruningGroup[] {
  const prefix = `blocks.${index}`;
  return [
    {
      name: attentionGroup(index),
      kind: 'heads',
      size: attn.heads,
      members: headMembers(attn, `${prefix}.attn`),
    },
    {
      name: mlpGroup(index),
      kind: 'mlp',
      size: mlp.fc1.weight.size(0),
      members: mlp.members(`${prefix}.mlp`),
    },
  ];
}

/**
 * Where head h appears: rows of q, of k and of v in the joint projection, columns of proj. Scored are
 * the rows of v and the columns of proj, what a head reads from the tokens and what it writes, as the
 * two layers of an MLP are; q and k only decide which tokens it looks at.
 */
function headMembers({ heads, headDim }: Attention, prefix: string): GroupMember[] {
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

/** @param index - of the block; @param length - tokens of one image */
export function blockMacs({ attn, mlp }: Block, index: number, length: number): MacsEntry[] {
  return [
    { name: attentionGroup(index), macs: attentionMacs(attn, length) },
    { name: mlpGroup(index), macs: mlp.macs(length) },
  ];
}

/** For `length` tokens: the projections, q kᵀ and the weighted sum of v. Softmax is not counted. */
function attentionMacs({ qkv, proj, heads, headDim }: Attention, length: number): number {
  const products = 2 * length * length * heads * headDim;
  return length * (qkv.weight.numel + proj.weight.numel) + products;
}
