// What a measurement of sensitivity cuts together: one group, the groups of one block, or all groups of one kind.
import { UsageError } from '../../errors.js';
import type { KeptUnits, PruningGroup } from '../../models/groups.js';
import { bestFirst, increasing, keptCount } from '../selection.js';

/** What is cut together. */
export const sensitivityParts = ['group', 'block', 'kind'] as const;
export type SensitivityBy = (typeof sensitivityParts)[number];

/** Groups that are cut together, at one rate. */
export interface Part {
  /** Of the group, the block or the kind. */
  readonly name: string;
  /** In the order of the network. */
  readonly groups: readonly PruningGroup[];
}

/** `blocks.3` of `blocks.3.ssm`: the group's name without its last word. */
export function blockOf(group: string): string {
  const end = group.lastIndexOf('.');
  return end < 0 ? group : group.slice(0, end);
}

/** Groups as they are cut together, in the order of the network. */
export function partsOf(groups: readonly PruningGroup[], by: SensitivityBy): Part[] {
  const names = {
    group: ({ name }: PruningGroup) => name,
    block: ({ name }: PruningGroup) => blockOf(name),
    kind: ({ kind }: PruningGroup) => kind,
  };
  const parts = new Map<string, PruningGroup[]>();
  for (const group of groups) {
    const name = names[by](group);
    const known = parts.get(name);
    if (known) known.push(group);
    else parts.set(name, [group]);
  }
  return Array.from(parts, ([name, members]) => ({ name, groups: members }));
}

/** Groups that are cut together, by what a file tells of them. */
export interface GroupSizes {
  /** Size of each group, by name. */
  readonly groups: Readonly<Record<string, number>>;
  /** Units that a group keeps at least, by name, of those that keep more than one. */
  readonly fewest?: Readonly<Record<string, number>> | undefined;
}

/** Units that the groups of a part keep at a rate, by group name. */
export function widthsAt(
  { groups, fewest }: GroupSizes,
  rate: number,
  roundTo = 1,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(groups).map(([name, size]) => [
      name,
      keptCount(size, rate, roundTo, fewest?.[name]),
    ]),
  );
}

/** What of these groups keeps more than one unit, by name; undefined if none does. */
export function fewestOf(groups: readonly PruningGroup[]): GroupSizes['fewest'] {
  const found = groups.flatMap(({ name, fewest = 1 }) => (fewest > 1 ? [[name, fewest]] : []));
  return found.length === 0 ? undefined : (Object.fromEntries(found) as Record<string, number>);
}

/** Parts with what the groups of a model keep at least. */
export const withFewest = <T extends GroupSizes>(
  parts: readonly T[],
  all: readonly PruningGroup[],
): T[] =>
  parts.map((part) => {
    const fewest = fewestOf(all.filter(({ name }) => Object.hasOwn(part.groups, name)));
    return fewest ? { ...part, fewest } : part;
  });

/**
 * The best units of each group, so many as its width says. Groups without a width stay whole.
 * @param scores - per group name, one per unit; larger is better
 * @throws UsageError for a group without scores
 */
export function unitsForWidths(
  scores: ReadonlyMap<string, Float64Array>,
  widths: Readonly<Record<string, number>>,
): KeptUnits {
  return new Map(
    Object.entries(widths).map(([name, width]) => {
      const values = scores.get(name);
      if (!values) throw new UsageError(`group '${name}': got no scores, expected one per unit.`);
      return [name, increasing(bestFirst(values).slice(0, width))];
    }),
  );
}
