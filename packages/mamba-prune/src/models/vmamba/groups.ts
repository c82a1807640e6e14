// What can be pruned in a block of a VMamba, and what it costs. The groups: channels of the scans (d_inner), and neurons
// of the MLP. States are not a group: the published models have one for each channel.
import type { GroupMember, PruningGroup } from '../groups.js';
import type { MacsEntry } from '../image-model.js';
import { mlpGroup, ssmGroup } from './config.js';
import type { Block } from './model.js';
import type { CrossScanOp } from './op.js';

export function blockGroups({ name, op, mlp }: Block): PruningGroup[] {
  return [
    {
      name: ssmGroup(name),
      kind: 'ssm',
      size: op.sizes.dInner,
      // Of a single channel out_norm gives its bias, whatever the scans give.
      fewest: 2,
      members: channelMembers(op, `${name}.op`),
    },
    {
      name: mlpGroup(name),
      kind: 'mlp',
      size: mlp.fc1.weight.size(0),
      members: mlp.members(`${name}.mlp`),
    },
  ];
}

/**
 * Where channel c appears, for a module that is called `prefix` in the state dict: in A_logs and Ds once for each
 * direction, dInner rows apart.
 */
function channelMembers({ sizes }: CrossScanOp, prefix: string): GroupMember[] {
  return [
    { parameter: `${prefix}.in_proj.weight`, dim: 0 },
    { parameter: `${prefix}.conv2d.weight`, dim: 0 },
    { parameter: `${prefix}.x_proj_weight`, dim: 2 },
    { parameter: `${prefix}.dt_projs_weight`, dim: 1 },
    { parameter: `${prefix}.dt_projs_bias`, dim: 1 },
    ...[0, 1, 2, 3].flatMap((direction) => [
      { parameter: `${prefix}.A_logs`, dim: 0, offset: direction * sizes.dInner },
      { parameter: `${prefix}.Ds`, dim: 0, offset: direction * sizes.dInner },
    ]),
    { parameter: `${prefix}.out_norm.weight`, dim: 0 },
    { parameter: `${prefix}.out_norm.bias`, dim: 0 },
    { parameter: `${prefix}.out_proj.weight`, dim: 1, scored: true, consumer: true },
  ];
}

/** @param length - positions of one image */
export function blockMacs({ name, op, mlp }: Block, length: number): MacsEntry[] {
  return [
    { name: ssmGroup(name), macs: scanMacs(op, length) },
    { name: mlpGroup(name), macs: mlp.macs(length) },
  ];
}

/**
 * For `length` positions. Each scan counts three for each state and position (Δ A, the update, the output) and one for
 * each channel and position (D); elementwise functions, norms and the sum of the four are not counted.
 */
function scanMacs({ sizes }: CrossScanOp, length: number): number {
  const { dModel, dInner, dState, dtRank } = sizes;
  const direction = dInner * (dtRank + 2 * dState) + dtRank * dInner + dInner * (3 * dState + 1);
  return length * (2 * dModel * dInner + 9 * dInner + 4 * direction);
}
