// The vision Mamba as written in PyTorch (benchmarks/peers/torch_mamba.py), dense or pruned.
import { UsageError } from '../../errors.js';
import { resamplePositions } from '../common-options.js';
import { dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';
import type { Layout } from '../import/layout.js';
import { readPositions } from '../import/positions.js';
import { ShapeReader, missingClassifier } from '../import/shapes.js';
import { StateDict } from '../import/state-dict.js';
import { UntoldError } from '../import/untold.js';

export const mambaLayout: Layout = {
  programs: 'the vision Mamba in PyTorch',

  telling: ['dModel', 'depth', 'dState'],

  recognises: (shapes) => shapes.has('blocks.0.ssm.in_proj.weight'),

  options: {
    resamplePositions,
    oneDirection: { values: { type: 'choice', choices: ['uni', 'cross'] } },
  },

  read(tensors, said) {
    const state = new StateDict(tensors);
    const reader = new ShapeReader('mamba', state.shapes);
    const depth = reader.count('blocks');
    const dModel = reader.size('blocks.0.norm1.weight', 0, 1);
    const patchSize = reader.size('patch_embed.weight', 2, 4);
    const blocks = Array.from({ length: depth }, (_, block) => block);
    const states = blocks.map((block) => reader.size(`blocks.${block}.ssm.A_log`, 1, 2));
    const twoWays = reader.has('blocks.0.ssm.A_b_log');
    if (!state.has('head.weight')) throw missingClassifier('head.weight', state.shapes);
    const question = { family: 'mamba', before: 0, alternatives: [], patchSize, dModel };
    const sizes = {
      dModel,
      depth,
      // What the widest block has: pruning states leaves some block whole more often than not.
      dState: states.reduce((most, count) => Math.max(most, count), 0),
      dConv: reader.size('blocks.0.ssm.conv1d.weight', 2, 3),
      patchSize,
      imageSize: readPositions(state, question, said),
      channels: reader.size('patch_embed.weight', 1, 4),
      numClasses: reader.size('head.weight', 0, 2),
    };
    return {
      sizes,
      tensors: state.tensors,
      notes: state.notes,
      config(arch, options) {
        const dtRank = Math.ceil(dModel / 16);
        const widths: Record<string, number> = {};
        for (const block of blocks) {
          const ssm = `blocks.${block}.ssm`;
          const rank = reader.size(`${ssm}.dt_proj.weight`, 1, 2);
          widths[ssmGroup(block)] = reader.size(`${ssm}.A_log`, 0, 2);
          widths[mlpGroup(block)] = reader.size(`blocks.${block}.mlp.0.weight`, 0, 2);
          // As in configurations of ours, these two are named where they differ.
          if (states[block] !== sizes.dState) widths[stateGroup(block)] = states[block] as number;
          if (rank !== dtRank) widths[dtRankGroup(block)] = rank;
        }
        const { dropPath = 0, scan = twoWays ? 'bi' : options.oneDirection } = options;
        if (scan === undefined) {
          throw new UntoldError(
            'import: got weights of one direction of scanning, which may be for uni or for cross: no shape tells. Say which with `scan`.',
          );
        }
        if ((scan === 'bi') !== twoWays) {
          throw new UsageError(
            `import: got \`scan\` '${scan}' for weights of ${twoWays ? 'two directions' : 'one direction'}, ` +
              `expected ${twoWays ? 'bi' : 'uni or cross'}`,
          );
        }
        const config = { family: 'mamba', arch, ...sizes, scan, dtRank, dropPath, widths };
        const isAssumed = options.scan === undefined && !twoWays;
        return { config, assumed: isAssumed ? [`scan ${scan}`] : [], notes: [] };
      },
    };
  },
};
