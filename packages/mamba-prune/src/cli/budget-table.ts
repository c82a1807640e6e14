// What a budget asked for, and what the cut came to.
import { latencyTolerance } from '../workflows/prune/budget-tolerance.js';
import {
  type CostBudgetSettings,
  askedOf,
  budgetKeys,
} from '../workflows/prune/cost-budget-settings.js';
import type { BudgetEntry } from '../workflows/prune/cost-budget.js';
import type { PruningRecord } from '../workflows/prune/record.js';
import { bytes, count, milliseconds, percent, plural } from '../format.js';
import type { Context } from './context.js';

type BudgetRecord = Pick<PruningRecord, 'costBudget' | 'latencyTable' | 'plannedRounds' | 'rounds'>;

/** A row for each amount; nothing where rates were asked for. */
export function printBudget(context: Context, record: BudgetRecord): void {
  const { costBudget = [], latencyTable } = record;
  if (costBudget.length === 0) return;
  const right = (title: string) => ({ title, align: 'right' }) as const;
  context.table(
    [{ title: 'budget' }, right('before'), right('asked'), right('reached'), right('below it')],
    costBudget.map((entry) => {
      const { of, asked, limit, before } = entry;
      const show = shown[of];
      const reached = reachedOf(entry);
      const share = typeof asked === 'string' ? `${asked} = ` : '';
      const batch = of === 'latency' && latencyTable ? `, batch ${latencyTable.batch}` : '';
      return [
        `${titles[of]}${batch}`,
        show(before),
        `${share}${show(limit)}`,
        show(reached),
        percent(1 - reached / limit, 2),
      ];
    }),
  );
  context.print();
  const remarks = budgetRemarks(record);
  for (const remark of remarks) context.paragraph(remark);
  if (remarks.length > 0) context.print();
}

/** `MACs per image 0.5x, latency 2.00 ms` */
export function budgetWords(budget: CostBudgetSettings): string {
  return budgetKeys
    .flatMap((of) => {
      const asked = askedOf(budget, of);
      if (asked === undefined) return [];
      return [`${titles[of]} ${typeof asked === 'string' ? asked : shown[of](asked)}`];
    })
    .join(', ');
}

const titles = {
  macs: 'MACs per image',
  params: 'parameters',
  file: 'file',
  latency: 'latency',
} as const;

const shown = {
  macs: count,
  params: count,
  file: (value: number) => bytes(Math.round(value)),
  latency: milliseconds,
} as const;

/** Of a latency what was measured, if it was. */
const reachedOf = ({ reached, measured }: BudgetEntry): number => measured ?? reached;

/** What is to be known of the numbers: how they were found, and whether they hold. */
export function budgetRemarks({ costBudget = [], latencyTable, ...rest }: BudgetRecord): string[] {
  const goesOn = rest.rounds.length < rest.plannedRounds;
  return costBudget.flatMap((entry): string[] => {
    if (entry.of !== 'latency' || !latencyTable) return [];
    const { limit, reached, measured, spread = 0 } = entry;
    const { device, precision, batch } = latencyTable;
    const on = `on this ${device === 'cpu' ? 'CPU' : 'GPU'}, in ${precision}, for ${plural(batch, 'image')} at once`;
    if (measured === undefined) {
      return goesOn ? [] : [`The latency is what the table of measured widths says ${on}.`];
    }
    return [
      `The latency was measured ${on}, in turn with the model before the cut: ${milliseconds(measured)}, where the table ` +
        `of widths predicted ${milliseconds(reached)}.`,
      ...(measured > limit
        ? [`It is above the budget: the widths that were built took longer than was predicted.`]
        : []),
      ...(spread > latencyTolerance
        ? [
            `These times differed by ${percent(spread, 0)} from round to round, more than the ` +
              `${percent(latencyTolerance, 0)} to which widths are corrected: the latency is not known more exactly on ` +
              'this machine as busy as it is.',
          ]
        : []),
    ];
  });
}
