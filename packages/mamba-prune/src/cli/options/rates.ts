// Which kinds of units to cut, and how much of each.
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { groupKinds } from '../../models/families.js';
import type { GroupKind } from '../../models/family.js';
import type { PruningGroup } from '../../models/groups.js';
import { attributeOf, numberOption, suggestion } from './parse.js';

/** What was typed; the rates of kinds are beside these, by the names that commander gives to their flags. */
export interface RateFlags {
  readonly target?: string;
  readonly rate?: number;
  readonly [kind: `${string}Rate`]: number | undefined;
}

/** What is removed where no rate is typed. */
export const usualRate = 0.7;

/** The rate of a kind that was typed. */
const nameOf = ({ rateFlag }: GroupKind): `${string}Rate` =>
  attributeOf(rateFlag) as `${string}Rate`;

function typedRate(flags: RateFlags, kind: GroupKind): number | undefined {
  return flags[nameOf(kind)];
}

/** What commander calls the flags of the kinds' rates. */
export const rateFlagNames = (): `${string}Rate`[] => [
  ...Array.from(groupKinds().values(), nameOf),
];

export function addRateOptions(command: Command): void {
  const rate = { min: 0, below: 1 };
  command
    .addOption(targetOption('kinds of units to remove'))
    .addOption(
      numberOption(
        '--rate <x>',
        `share of the units to remove, over all rounds (default: ${usualRate})`,
        rate,
      ),
    );
  for (const { rateFlag, units, optional = false } of groupKinds().values()) {
    const fallback = optional ? 'none' : '--rate';
    command.addOption(
      numberOption(`${rateFlag} <x>`, `share of the ${units} (default: ${fallback})`, rate),
    );
  }
}

/** Several kinds at once: they stand alone. */
const groupWords = ['both', 'all'];

/** @param what - of these kinds, such as 'kinds of units to remove' */
export function targetOption(what: string): Option {
  const onRequest = Array.from(groupKinds()).flatMap(([kind, { optional = false }]) =>
    optional ? [kind] : [],
  );
  const description = `${what}: both (all but ${onRequest.join(' and ')}), all, or a list such as ssm,mlp (default: both)`;
  return new Option('--target <kinds>', description).argParser((text: string) => {
    const problem = targetProblem(text);
    if (problem === undefined) return text;
    throw new InvalidArgumentError(problem);
  });
}

/**
 * The kinds that a list names, in its order.
 * @throws UsageError for an empty part, a kind twice, or a list with both or all in it
 */
export function targetKinds(text: string): string[] {
  const problem = targetProblem(text);
  if (problem === undefined) return partsOf(text);
  throw new UsageError(`--target: got '${text}'. ${problem}`);
}

const partsOf = (text: string): string[] => text.split(',').map((kind) => kind.trim());

function targetProblem(text: string): string | undefined {
  const parts = partsOf(text);
  const example = 'Expected both, all, or kinds separated by commas, such as ssm,mlp.';
  if (parts.includes('')) {
    return parts.length === 1 ? `There is no kind. ${example}` : `A part is empty. ${example}`;
  }
  const word = parts.length > 1 ? parts.find((kind) => groupWords.includes(kind)) : undefined;
  if (word !== undefined) {
    const others = parts.filter((kind) => !groupWords.includes(kind));
    const list =
      others.length > 0 ? `, or only the kinds meant (${[...new Set(others)].join(',')})` : '';
    return `'${word}' names several kinds already and stands alone. Give ${word}${list}.`;
  }
  const twice = parts.find((kind, i) => parts.indexOf(kind) < i);
  return twice === undefined ? undefined : `Got ${twice} twice, expected it once.`;
}

/** A kind of groups that a model has. */
export interface ModelKind {
  readonly kind: string;
  /** Cut only when it is named. */
  readonly optional: boolean;
}

/** The kinds of a model's groups, each once, in their order. */
export function modelKinds(
  groups: readonly Pick<PruningGroup, 'kind' | 'optional'>[],
): ModelKind[] {
  const kinds = new Map(groups.map(({ kind, optional = false }) => [kind, { kind, optional }]));
  return [...kinds.values()];
}

export function hasRates(flags: RateFlags): boolean {
  const { target, rate } = flags;
  return (
    target !== undefined ||
    rate !== undefined ||
    [...groupKinds().values()].some((kind) => typedRate(flags, kind) !== undefined)
  );
}

/**
 * The share to remove of each kind.
 * @param flags - what was typed
 * @param kinds - those of the model
 * @throws UsageError for a kind that the model does not have, a rate of one that is left alone, or a common rate where
 *   every kind has its own
 */
export function ratesOf(flags: RateFlags, kinds: readonly ModelKind[]): Record<string, number> {
  const { target, rate = usualRate } = flags;
  const known = groupKinds();
  const typed = [...known].filter(([, kind]) => typedRate(flags, kind) !== undefined);
  for (const [kind, { rateFlag: option }] of typed) {
    if (kinds.some((own) => own.kind === kind)) continue;
    throw new UsageError(
      `got ${option}, but the model has no groups of the kind ${kind}, only ${names(kinds)}. Leave it out.`,
    );
  }
  const named = typed.map(([kind]) => kind);
  const targets = targetsOf(target, kinds, named);
  for (const [kind, { rateFlag: option }] of typed) {
    if (targets.includes(kind)) continue;
    throw new UsageError(
      `got ${option}, but --target ${target ?? 'both'} leaves the ${kind} groups alone. ` +
        `Use --target ${[...targets, kind].join(',')}.`,
    );
  }
  if (
    flags.rate !== undefined &&
    targets.length > 0 &&
    targets.every((kind) => named.includes(kind))
  ) {
    const own = typed.map(([, { rateFlag }]) => rateFlag).join(' and ');
    throw new UsageError(
      `got --rate, but ${own} already ${typed.length > 1 ? 'give' : 'gives'} every kind that is cut its rate. Leave it out.`,
    );
  }
  return Object.fromEntries(
    targets.map((name) => {
      const kind = known.get(name);
      return [name, (kind && typedRate(flags, kind)) ?? rate];
    }),
  );
}

const names = (kinds: readonly ModelKind[]): string => kinds.map(({ kind }) => kind).join(', ');

function targetsOf(
  target: string | undefined,
  kinds: readonly ModelKind[],
  named: readonly string[],
): string[] {
  const all = kinds.map(({ kind }) => kind);
  if (target === 'all') return all;
  if (target === undefined || target === 'both') {
    return kinds
      .filter((known) => !known.optional || named.includes(known.kind))
      .map(({ kind }) => kind);
  }
  const wanted = targetKinds(target);
  for (const kind of wanted) {
    if (all.includes(kind)) continue;
    throw new UsageError(
      `--target: got '${kind}', expected both, all, or some of ${all.join(', ')}, the kinds of groups of the model.` +
        suggestion(kind, [...all, 'both', 'all']),
    );
  }
  return all.filter((kind) => wanted.includes(kind));
}
