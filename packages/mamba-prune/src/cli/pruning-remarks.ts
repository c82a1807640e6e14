// What a pruning has to say in sentences: what held a rate back, what was left with next to nothing, what
// comes next.
import {
  type NarrowGroup,
  evenIsWide,
  narrowGroups,
  nothingRemoved,
  wideEnough,
} from '../workflows/prune/narrow-groups.js';
import type { PruningRecord } from '../workflows/prune/record.js';
import type { HeldBack } from '../workflows/prune/reached-rates.js';
import { halvingFillback } from '../pruning/refill-choices.js';
import { grouped, percent } from '../format.js';

/** One unit of a kind, in words. */
const unitOf: Readonly<Record<string, string>> = {
  ssm: 'channel',
  mlp: 'neuron',
  heads: 'head',
  channels: 'channel',
  state: 'state',
  dt_rank: 'rank',
};

const unitsOf = (kind: string, count: number): string => {
  const noun = unitOf[kind] ?? 'unit';
  return count === 1 ? noun : `${noun}s`;
};

/** What the flags of the command are called; undefined where it has none. */
export interface FlagNames {
  readonly byLayer: string;
  readonly target?: string;
  readonly maxRate?: string;
  readonly fillback?: string;
  readonly regEpochs: string;
  readonly regShrink?: string;
}

export const pruneFlags: FlagNames = {
  byLayer: '--ranking layer',
  target: '--target',
  maxRate: '--max-rate',
  fillback: '--fillback',
  regEpochs: '--reg-epochs',
  regShrink: '--reg-apply shrink',
};

export const impFlags: FlagNames = {
  byLayer: '--sorting_mode layerwise',
  regEpochs: '--reg_epochs',
};

/** What the units were chosen by, and why by that. */
export function importanceInWords({
  importance,
  importanceReason,
  score,
}: Pick<PruningRecord, 'importance' | 'importanceReason' | 'score'>): string {
  const what = `${importance} of ${score}`;
  switch (importanceReason) {
    case 'given':
      return `${what}, as asked for`;
    case 'images':
      return `${what}, the default with images`;
    case 'family':
      return `${what}, the default of its family with images`;
    case 'no images':
      return `${what}, the default without images`;
    case 'score':
      return `${what}, the norm that goes with this score`;
    case 'unused':
      return 'the norm that RSST regularised';
    case undefined:
      return what;
  }
}

/** Why less is gone than was asked for, a sentence for each limit and kind; and what was not to be cut. */
export function rateRemarks(record: PruningRecord, { target }: FlagNames = pruneFlags): string[] {
  const { heldBack = [], leftAlone = [], rates } = record;
  const kinds = Object.keys(rates).join(' and ');
  return [
    ...heldBack.map((held) => heldBackInWords(record, held)),
    ...(leftAlone.length === 0
      ? []
      : [
          `Only ${kinds} was to be cut${target === undefined ? '' : ` (${target})`}: ` +
            `${leftAlone.join(' and ')} ${leftAlone.length === 1 ? 'keeps' : 'keep'} all units.`,
        ]),
  ];
}

function heldBackInWords(
  record: PruningRecord,
  { kind, limit, groups, fewest = 1 }: HeldBack,
): string {
  const { maxRate, minWidth, roundTo, rounds, reached, kinds } = record;
  const asked = rounds.at(-1)?.rates[kind] ?? record.rates[kind];
  const gone = `${percent(reached?.[kind], 1)} of the units are gone, not ${percent(asked, 1)}`;
  const all = Object.values(kinds).filter((each) => each === kind).length;
  const where = groups.length === 0 || groups.length === all ? '' : ` in ${groups.join(', ')}`;
  switch (limit) {
    case 'max-rate':
      return `${kind}: --max-rate ${maxRate} held the rate back${where}: ${gone}. Raise it, or lower the rate.`;
    case 'minimum':
      return `${kind}: every group keeps ${fewest === 1 ? 'one unit' : `${fewest} units`} at least, which held the rate back${where}: ${gone}.`;
    case 'min-width':
      return `${kind}: --min-width ${minWidth} held the rate back${where}: ${gone}. Lower it, or lower the rate.`;
    case 'rate-of':
      return `${kind}: ${shortList(groups)} ${groups.length === 1 ? 'has' : 'have'} a lower rate of ${groups.length === 1 ? 'its' : 'their'} own: ${gone}.`;
    case 'round-to':
      return `${kind}: --round-to ${roundTo} rounded widths up${where}: ${gone}.`;
    case 'fillback':
      return `${kind}: units came back on top of the rate (refill): ${gone}.`;
  }
}

const shortList = (names: readonly string[]): string =>
  names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;

/** What to look at before anything is built on the cut; none in most runs. */
export function warningsOf(record: PruningRecord, flags: FlagNames = pruneFlags): string[] {
  return [
    ...doomedInWords(record, flags),
    ...firstCutInWords(record, flags),
    ...nothingInWords(record),
    ...narrowInWords(record, flags),
  ];
}

/** Less than this share of the doomed units' norms counts as gone: a penalty in the loss brings none to zero exactly. */
const nearlyGone = 0.05;

function doomedInWords({ rounds }: PruningRecord, { regEpochs, regShrink }: FlagNames): string[] {
  const { apply, kinds = {} } = rounds.at(-1)?.doomedLeft ?? {};
  const left = Object.entries(kinds).filter(([, share]) => share >= nearlyGone);
  if (left.length === 0) return [];
  const shares = left.map(([kind, share]) => `${percent(share, 0)} (${kind})`).join(' and ');
  const shrink =
    apply === 'shrink' || regShrink === undefined
      ? ''
      : `, and ${regShrink} takes them to zero in any number of epochs`;
  return [
    `The cut came before the doomed units were at zero: ${shares} of the norm that they were chosen with was left. ` +
      `More ${regEpochs} bring them closer${shrink}.`,
  ];
}

/** Where Refill's deeper cut left one unit, for the share that returns is all that stays. */
function firstCutInWords(record: PruningRecord, { fillback }: FlagNames): string[] {
  const { rounds, widthsBefore } = record;
  const { returned = {}, widths = {} } = rounds.at(-1) ?? {};
  const before = rounds.at(-2)?.widths ?? widthsBefore;
  const width = (name: string): number => widths[name] ?? 0;
  const names = Object.keys(returned);
  const emptied = names.filter(
    (name) => width(name) > 2 && (returned[name]?.length ?? 0) >= width(name) - 1,
  );
  if (fillback === undefined || emptied.length === 0) return [];
  const sum = (of: (name: string) => number): number =>
    emptied.reduce((total, name) => total + of(name), 0);
  const enough = halvingFillback(sum(width) / sum((name) => before[name] ?? 0));
  return [
    `Refill's first cut left one unit in ${emptied.length} of ${names.length} groups: the others that stay there were chosen by what ` +
      `they would do in a model that is no more. ${fillback} ${enough} lets the first cut choose about half of them.`,
  ];
}

function narrowInWords(record: PruningRecord, flags: FlagNames): string[] {
  const groups = narrowGroups(record);
  if (groups.length === 0) return [];
  const named = ({ name, kind, dense, left }: NarrowGroup): string =>
    `${name} (${grouped(left)} of ${grouped(dense)} ${unitsOf(kind, dense)})`;
  return [
    `Next to nothing is left of ${groups.map(named).join(', ')}: what passes through there may be lost, and ` +
      `training may not bring it back. More stays with ${waysOut(record, groups, flags).join(', or ')}.`,
  ];
}

/** Whether the cut went by how near to zero RSST had driven the units: then no rate is asked for. */
const isByNearZero = ({ method, rates, rateOf, costBudget }: PruningRecord): boolean =>
  method === 'rsst' &&
  costBudget === undefined &&
  rateOf === undefined &&
  Object.values(rates).every((rate) => rate === 0);

/** Only those that would have helped. */
function waysOut(
  record: PruningRecord,
  groups: readonly NarrowGroup[],
  { byLayer, maxRate }: FlagNames,
): string[] {
  if (isByNearZero(record)) return ['a smaller --near-zero', 'a weaker penalty (--reg-strength)'];
  const { ranking, rounds, rates, costBudget } = record;
  const most = wideEnough(groups);
  const isGlobal = ranking === 'global';
  return [
    ...(isGlobal && maxRate !== undefined && most > 0 ? [`${maxRate} ${most}`] : []),
    ...(isGlobal && evenIsWide(groups, rounds.at(-1)?.rates ?? rates)
      ? [`the same share of each group (${byLayer})`]
      : []),
    costBudget ? 'a larger budget' : 'a lower rate',
  ];
}

function nothingInWords(record: PruningRecord): string[] {
  if (!nothingRemoved(record)) return [];
  const { widthsBefore, kinds, rates, heldBack = [], rounds } = record;
  const names = Object.keys(widthsBefore).filter((name) => (kinds[name] ?? '') in rates);
  const listed = Object.keys(rates).join(' and ');
  const why = names.every((name) => widthsBefore[name] === 1)
    ? `every group of ${listed} has one unit already, the least that there can be`
    : rounds.some(({ returned = {} }) => Object.values(returned).some(({ length }) => length > 0))
      ? 'all units that were cut came back. Give back a smaller share'
      : heldBack.length > 0
        ? 'the limits named held all units back'
        : Object.values(rates).some((rate) => rate > 0)
          ? 'the rates come to less than one unit. Raise --rate'
          : isByNearZero(record)
            ? 'no unit was under --near-zero'
            : 'the rates are 0';
  return [`Nothing was removed: ${why}.`];
}
