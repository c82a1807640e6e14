import type { PruningRecord } from '../workflows/pruning-record.js';
import type { Context } from './context.js';
import { bar } from './terminal/bars.js';
import { count, percent, times } from './terminal/format.js';

/** Parameters, MACs and accuracy before and after. */
export function printPruned(context: Context, { parameters, macs, accuracy }: PruningRecord): void {
  const rows = [
    change('parameters', parameters),
    change('MACs per image', macs),
    ...(accuracy.before === null
      ? []
      : [['accuracy', percent(accuracy.before), percent(accuracy.afterCut), points(accuracy)]]),
  ];
  if (accuracy.after !== null) {
    rows.push([
      'after fine-tuning',
      '',
      context.colours.bold(percent(accuracy.after)),
      points({ before: accuracy.before, afterCut: accuracy.after }),
    ]);
  }
  context.table(
    [
      { title: '' },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: 'change', align: 'right' },
    ],
    rows,
  );
}

function change(name: string, { before, after }: { before: number; after: number }): string[] {
  return [name, count(before), count(after), `${times(before / after)} smaller`];
}

/** Difference in percentage points, with its sign. */
function points(accuracy: { before: number | null; afterCut: number | null }): string {
  if (accuracy.before === null || accuracy.afterCut === null) return '';
  const difference = 100 * (accuracy.afterCut - accuracy.before);
  return `${difference < 0 ? '' : '+'}${difference.toFixed(2)} points`;
}

/** The width of every group as a bar. */
export function printCut(context: Context, { widthsBefore, widthsAfter }: PruningRecord): void {
  context.table(
    [
      { title: 'group', flexible: true },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: '' },
    ],
    Object.entries(widthsBefore).map(([name, before]) => {
      const after = widthsAfter[name] ?? before;
      return [name, String(before), String(after), bar(after / before, 32, context.colours)];
    }),
  );
}
