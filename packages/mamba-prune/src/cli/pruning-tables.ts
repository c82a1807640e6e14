import { resolve } from 'node:path';
import type { PruneRun } from '../workflows/prune-run.js';
import type { PruningRecord, RoundRecord } from '../workflows/pruning-record.js';
import type { Context } from './context.js';
import { type Cell, bold } from './terminal/layout.js';
import { count, percent, times } from './terminal/format.js';

/**
 * The result of a pruning run, for people and for machines.
 * @param more - further entries of the JSON object
 */
export async function printPruningRun(
  context: Context,
  { path, record, result }: PruneRun,
  more: object,
): Promise<void> {
  const { encodeRecord } = await import('../workflows/pruning-record.js');
  context.json({
    run: path,
    model: resolve(path, 'model.safetensors'),
    ...more,
    ...encodeRecord(record),
    training: result ?? null,
  });
  // Apart from the lines about the rounds.
  if (record.rounds.length > 1) context.progress.line('');
  context.pathTitle(path);
  printPruned(context, record);
  context.print();
  // Regularised training comes between what was pruned and the cut.
  if (record.rounds.length > 1 || record.method === 'rsst') {
    printRounds(context, record);
    context.print();
  }
  printCut(context, record);
}

/** Parameters, MACs and accuracy before and after. */
function printPruned(context: Context, record: PruningRecord): void {
  const { parameters, macs, accuracy, rounds } = record;
  const { before, afterCut, after } = accuracy;
  const row = (name: string, value: number | null, shown: Cell): Cell[] => [
    name,
    percent(before),
    shown,
    points(before, value),
  ];
  // Of several cuts the table of the rounds tells.
  const cut = after === null || rounds.length === 1;
  context.table(
    [
      { title: '' },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'change', align: 'right' },
    ],
    [
      change('parameters', parameters),
      change('MACs per image', macs),
      ...(before !== null && cut
        ? [row('accuracy after the cut', afterCut, percent(afterCut))]
        : []),
      ...(after !== null ? [row('accuracy after training', after, bold(percent(after)))] : []),
    ],
  );
}

function change(name: string, { before, after }: { before: number; after: number }): string[] {
  return [name, count(before), count(after), `${times(before / after)} smaller`];
}

/** Difference in percentage points, with its sign. */
function points(before: number | null, after: number | null): string {
  if (before === null || after === null) return '';
  const difference = 100 * (after - before);
  return `${difference < 0 ? '' : '+'}${difference.toFixed(2)} points`;
}

/** What each round left, and how it did. */
function printRounds(context: Context, record: PruningRecord): void {
  const kinds = Object.keys(record.rates);
  // More would not fit the width.
  const apart = kinds.length <= 2 ? kinds.map((kind) => [kind]) : [kinds];
  const measured = record.accuracy.before !== null;
  const trained = record.accuracy.after !== null;
  const right = (title: string) => ({ title, align: 'right' }) as const;
  context.table(
    [
      right('round'),
      ...apart.map((group) => right(group.length === 1 ? group.join() : 'units')),
      ...(measured ? [right('before cut'), right('after cut')] : []),
      ...(trained ? [right('trained')] : []),
      right('parameters'),
      right('MACs'),
    ],
    record.rounds.map((round) => [
      String(round.round),
      ...apart.map((group) => percent(shareLeft(record, round, group), 1)),
      ...(measured ? [percent(round.accuracy.before), percent(round.accuracy.afterCut)] : []),
      ...(trained ? [percent(round.accuracy.after)] : []),
      count(round.parameters),
      count(round.macs),
    ]),
  );
}

/** Of the units that the run began with. */
function shareLeft(record: PruningRecord, round: RoundRecord, kinds: readonly string[]): number {
  const names = Object.keys(record.kinds).filter((name) => kinds.includes(kindOf(record, name)));
  const sum = (widths: Readonly<Record<string, number>>): number =>
    names.reduce((total, name) => total + (widths[name] ?? 0), 0);
  return sum(round.widths) / sum(record.widthsBefore);
}

/** The width of every group that the run was to cut, as a bar. */
function printCut(context: Context, record: PruningRecord): void {
  const { widthsBefore, widthsAfter, rates } = record;
  const groups = Object.entries(widthsBefore).filter(([name]) => kindOf(record, name) in rates);
  context.table(
    [
      { title: 'group', flexible: true },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'kept', align: 'right' },
      { title: '' },
    ],
    groups.map(([name, before]) => {
      const after = widthsAfter[name] ?? before;
      const share = after / before;
      return [name, String(before), String(after), percent(share, 1), { share }];
    }),
  );
}

const kindOf = ({ kinds }: PruningRecord, group: string): string => kinds[group] ?? '';
