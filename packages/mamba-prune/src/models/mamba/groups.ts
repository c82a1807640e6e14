// What can be pruned in a block of the vision Mamba, and what it costs. The groups: those of its SSM, and neurons of the
// MLP.
import type { PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import { ssmGroups, ssmMacs } from '../layers/ssm-groups.js';
import { dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';
import type { Block } from './model.js';

/** @param index - of the block */
export function blockGroups({ ssm, mlp }: Block, index: number): PruningGroup[] {
  const names = {
    ssm: ssmGroup(index),
    state: stateGroup(index),
    dtRank: dtRankGroup(index),
  };
  return [
    ...ssmGroups(ssm, `blocks.${index}.ssm`, names),
    {
      name: mlpGroup(index),
      kind: 'mlp',
      size: mlp.fc1.weight.size(0),
      members: mlp.members(`blocks.${index}.mlp`),
    },
  ];
}

/** @param index - of the block; @param length - patches of one image */
export function blockMacs({ ssm, mlp }: Block, index: number, length: number): MacsEntry[] {
  return [
    { name: ssmGroup(index), macs: ssmMacs(ssm, length) },
    { name: mlpGroup(index), macs: mlp.macs(length) },
  ];
}
