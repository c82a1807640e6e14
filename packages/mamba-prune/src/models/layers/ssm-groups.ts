// What can be pruned in a selective SSM, and what it costs. The groups: its channels (d_inner), its states, and ranks of
// its step sizes. With two directions a unit is pruned in both.
import type { GroupMember, PruningGroup } from '../groups.js';
import type { SelectiveSsm } from './ssm.js';

/** Names of the groups of one SSM, which are also the keys of its widths. */
export interface SsmGroupNames {
  readonly ssm: string;
  readonly state: string;
  readonly dtRank: string;
}

/** @param prefix - of the module in the state dict: `blocks.0.ssm` */
export function ssmGroups(
  ssm: SelectiveSsm,
  prefix: string,
  names: SsmGroupNames,
): [PruningGroup, PruningGroup, PruningGroup] {
  const { dInner, dState, dtRank } = ssm.sizes;
  return [
    { name: names.ssm, kind: 'ssm', size: dInner, members: channelMembers(ssm, prefix) },
    {
      name: names.state,
      kind: 'state',
      size: dState,
      members: stateMembers(ssm, prefix),
      optional: true,
    },
    {
      name: names.dtRank,
      kind: 'dt_rank',
      size: dtRank,
      members: rankMembers(ssm, prefix),
      optional: true,
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

/**
 * Multiply-accumulates for `length` positions. The scan counts three for each state and position
 * (Δ A, the update, the output), two for each channel and position (D, gate); exponentials and
 * other elementwise functions are not counted.
 */
export function ssmMacs({ sizes, scans }: SelectiveSsm, length: number): number {
  const { dModel, dInner, dState, dConv, dtRank } = sizes;
  const direction =
    dInner * dConv + dInner * (dtRank + 2 * dState) + dtRank * dInner + dInner * (3 * dState + 2);
  const shared = dModel * 2 * dInner + dInner * dModel;
  return length * (shared + direction * scans.length);
}
