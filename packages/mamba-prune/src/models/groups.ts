/**
 * A place where the units of a group appear: the indices
 * [offset + u * unitSize, offset + (u + 1) * unitSize) of dimension `dim` of one parameter or buffer
 * belong to unit u.
 */
export interface GroupMember {
  /** Name in the state dict. */
  readonly parameter: string;
  readonly dim: number;
  /** First index of unit 0. Default `0`. */
  readonly offset?: number;
  /** Indices per unit. Default `1`. A head of attention has head_dim. */
  readonly unitSize?: number;
  /** Counts under the score `consumer`: of an SSM channel out_proj alone. */
  readonly scored?: boolean;
  /** What RSST's l1 norm is taken over; the scored members, unless one of the group has this mark. */
  readonly regularized?: boolean;
  /** Weights by which the next layer reads the unit's output, the one that `UnitProbe.output` shows. */
  readonly consumer?: boolean;
}

/**
 * One prunable dimension of a model, with every place where it appears. Models declare groups and
 * know nothing of pruning methods; methods work on groups and know nothing of architectures.
 *
 * Setting all members of a unit to zero must make the unit contribute nothing: surgery and masking
 * then give the same function.
 */
export interface PruningGroup {
  /** Such as `blocks.3.ssm`; also the key of its width in the model's configuration. */
  readonly name: string;
  /** Groups are ranked against groups of their own kind only: `ssm`, `mlp` ... */
  readonly kind: string;
  /** Number of units. */
  readonly size: number;
  readonly members: readonly GroupMember[];
  /** Cut only when its kind is named; not part of "everything". */
  readonly optional?: boolean;
  /**
   * Units with which the group still passes on what it is given: no selection leaves fewer. Before a norm over the units it is 2,
   * for of one alone such a norm gives its bias. A group that has fewer already stays as it is. Default `1`.
   */
  readonly fewest?: number;
}

/** Which units stay, per group name: increasing indices. Groups that are not named stay whole. */
export type KeptUnits = ReadonlyMap<string, readonly number[]>;

export const memberOffset = (member: GroupMember): number => member.offset ?? 0;
export const memberUnitSize = (member: GroupMember): number => member.unitSize ?? 1;

/** The units of a group of `size` that are not in `units`, increasing. */
export function complement(units: readonly number[], size: number): number[] {
  const inside = new Set(units);
  return Array.from({ length: size }, (_, unit) => unit).filter((unit) => !inside.has(unit));
}
