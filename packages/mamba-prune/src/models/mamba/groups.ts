// What can be pruned in a block of the vision Mamba, and what it costs. The groups: channels of the SSM (d_inner), its
// states, ranks of its step sizes, and neurons of the MLP.
import type { GroupMember, PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import { dtRankGroup, mlpGroup, ssmGroup, stateGroup } from './config.js';
import type { Block } from './model.js';
import type { SelectiveSsm } from '../layers/ssm.js';

/** @param index - of the block */
export function blockGroups({ ssm, mlp }: Block, index: number): PruningGroup[] {
  const { dInner, dState, dtRank } = ssm.sizes;
  const prefix = `blocks.${index}`;
  return [
    {
      name: ssmGroup(index),
      kind: 'ssm',
      size: dInner,
      members: channelMembers(ssm, `${prefix}.ssm`),
    },
    {
      name: stateGroup(index),
      kind: 'state',
      size: dState,
      members: stateMembers(ssm, `${prefix}.ssm`),
      optional: true,
    },
    {
      name: dtRankGroup(index),
      kind: 'dt_rank',
      size: dtRank,
      members: rankMembers(ssm, `${prefix}.ssm`),
      optional: true,
    },
    {
      name: mlpGroup(index),
      kind: 'mlp',
      size: mlp.fc1.weight.size(0),
      members: mlp.members(`${prefix}.mlp`),
    },
  ];
}

/** Where channel k appears, for a module that is called `prefix` in the state dict. */
function channelMembers({ sizes, scans }: SelectiveSsm, prefix: string): GroupMember[] {
  return [
    { parameter: `${prefix}.in_proj.weight`, dim: 0 },
    { parameter: `${prefix}.in_proj.weight`, dim: 0, offset: sizes.dInner },
    { parameter: `${prefix}.out_proj.weight`, dim: 1, scored: true, consumer: true },
    ...scans.flatMap(({ names }) => [
      { parameter: `${prefix}.${names.conv1d}.weight`, dim: 0 },
      { parameter: `${prefix}.${names.conv1d}.bias`, dim: 0 },
      { parameter: `${prefix}.${names.xProj}.weight`, dim: 1 },
      { parameter: `${prefix}.${names.dtProj}.weight`, dim: 0 },
      { parameter: `${prefix}.${names.dtProj}.bias`, dim: 0 },
      { parameter: `${prefix}.${names.aLog}`, dim: 0 },
      { parameter: `${prefix}.${names.d}`, dim: 0 },
    ]),
  ];
}

/**
 * Where state n appears. Scored are the rows of x_proj that make B_n and C_n: without one of them
 * the state is never written, or never read. A_log says how long a state lasts, not how much it
 * gives. (A masked state has A_log = 0, so A = -1, but nothing ever goes in or out.)
 */
function stateMembers({ sizes, scans }: SelectiveSsm, prefix: string): GroupMember[] {
  const { dtRank, dState } = sizes;
  return scans.flatMap(({ names }) => {
    const xProj = `${prefix}.${names.xProj}.weight`;
    return [
      { parameter: xProj, dim: 0, offset: dtRank, scored: true },
      { parameter: xProj, dim: 0, offset: dtRank + dState, scored: true },
      { parameter: `${prefix}.${names.aLog}`, dim: 1 },
    ];
  });
}

/**
 * Where rank r of the step sizes appears: a row of x_proj makes it, a column of dt_proj reads it.
 * Both are scored, as with the two layers of an MLP.
 */
function rankMembers({ scans }: SelectiveSsm, prefix: string): GroupMember[] {
  return scans.flatMap(({ names }) => [
    { parameter: `${prefix}.${names.xProj}.weight`, dim: 0, scored: true },
    { parameter: `${prefix}.${names.dtProj}.weight`, dim: 1, scored: true },
  ]);
}

/** @param index - of the block; @param length - patches of one image */
export function blockMacs({ ssm, mlp }: Block, index: number, length: number): MacsEntry[] {
  return [
    { name: ssmGroup(index), macs: ssmMacs(ssm, length) },
    { name: mlpGroup(index), macs: mlp.macs(length) },
  ];
}

/**
 * Multiply-accumulates for `length` positions. The scan counts three for each state and position
 * (Δ A, the update, the output), two for each channel and position (D, gate); exponentials and
 * other elementwise functions are not counted.
 */
function ssmMacs({ sizes, scans }: SelectiveSsm, length: number): number {
  const { dModel, dInner, dState, dConv, dtRank } = sizes;
  const direction =
    dInner * dConv + dInner * (dtRank + 2 * dState) + dtRank * dInner + dInner * (3 * dState + 2);
  const shared = dModel * 2 * dInner + dInner * dModel;
  return length * (shared + direction * scans.length);
}
