// What can be pruned in a layer of Vim, and what it costs. The groups are those of its SSM; there is no MLP.
import type { PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import { ssmGroups, ssmMacs } from '../layers/ssm-groups.js';
import { dtRankGroup, ssmGroup, stateGroup } from './config.js';
import type { Block } from './model.js';

/** @param index - of the layer */
export function layerGroups({ mixer }: Block, index: number): PruningGroup[] {
  const names = {
    ssm: ssmGroup(index),
    state: stateGroup(index),
    dtRank: dtRankGroup(index),
  };
  return ssmGroups(mixer, `layers.${index}.mixer`, names);
}

/** @param index - of the layer; @param length - tokens of one image */
export const layerMacs = ({ mixer }: Block, index: number, length: number): MacsEntry => ({
  name: ssmGroup(index),
  macs: ssmMacs(mixer, length),
});
