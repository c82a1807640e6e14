// What `compare` prints when it is done.
import { dataLabel } from '../data/data-label.js';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison } from '../workflows/compare/compare.js';
import { describe, doneText, remarks, removedText } from '../workflows/compare/describe.js';
import { heldBackText } from '../workflows/compare/held-back.js';
import { methodLabel } from '../workflows/compare/methods.js';
import type { MethodResult } from '../workflows/compare/outcomes.js';
import { type CompareResults, sizeSpread } from '../workflows/compare/results.js';
import { testNote, testSections } from '../workflows/compare/test-text.js';
import { toDense } from '../workflows/compare/to-dense.js';
import { modelLabel } from '../models/model-label.js';
import { type Tuning, tuningRows, tuningText } from '../workflows/compare/tune.js';
import type { Context } from './context.js';
import { relativePath } from '../shell.js';
import { count, percent, pointsText } from '../format.js';
import { bold } from './terminal/layout.js';
import { printable } from './terminal/printable.js';
import { wrapText } from './terminal/text.js';

export function printComparison(context: Context, { settings, results, path }: Comparison): void {
  const { colours, width } = context;
  const { dim } = colours;
  context.title(
    `${modelLabel(settings.train.arch, settings.train.model)} on ${dataLabel(settings.train)}`,
  );
  context.print(dim(wrapText(printable(`${describe(settings)}.`), width)));
  for (const remark of [...remarks(settings), ...heldBackText(results.runs)]) {
    context.print(dim(wrapText(printable(remark), width)));
  }
  const sections = testSections(results);
  for (const rate of settings.rates) {
    const methods = results.methods.filter((result) => result.rate === 0 || result.rate === rate);
    context.print();
    context.title(`  ${removedText(rate, settings)} removed`);
    context.table(
      [
        { title: 'method' },
        { title: 'accuracy', align: 'right' },
        { title: 'n', align: 'right' },
        { title: 'to dense', align: 'right' },
        { title: 'at the cut', align: 'right' },
        { title: 'parameters', align: 'right' },
        { title: 'MACs', align: 'right' },
      ],
      methods.map((result) => {
        const row = rowOf(result, results);
        return result === best(methods) ? row.map(bold) : row;
      }),
    );
    const tests = sections.flatMap((section) => section.tests).filter((test) => test.rate === rate);
    // The blank line after the last size stands before the notes.
    if (tests.length > 0) context.print();
    for (const { text } of tests) context.paragraph(`${text}.`);
  }
  const notes = [
    'Accuracy: mean and standard deviation over n seeds. To dense: over the seeds that both have. At the cut: just before and just after it.',
    testNote(results, 'Tests: paired by seed, two-sided.'),
  ];
  context.print();
  context.print(dim(wrapText(notes.join(' ').trimEnd(), width)));
  const { done, planned } = results;
  if (done < planned) context.paragraph(`${doneText(results)}.`);
  const spread = sizeSpread(results);
  if (spread > 0.005) {
    context.paragraph(`Within one rate the MACs differ by up to ${percent(spread, 1)}.`);
  }
  context.print();
  context.facts([
    ['table', relativePath(`${path}/results.md`)],
    // Without the package that draws it there is none.
    ...(existsSync(join(path, 'accuracy-macs.svg'))
      ? [['picture', `${relativePath(`${path}/accuracy-macs.svg`)} and .png`] as const]
      : []),
    ['numbers', relativePath(`${path}/results.json`)],
  ]);
}

/** Of the pruned ones. */
function best(methods: readonly MethodResult[]): MethodResult | undefined {
  const pruned = methods.filter(({ rate }) => rate > 0);
  return pruned.toSorted((a, b) => b.accuracy - a.accuracy)[0];
}

function rowOf(result: MethodResult, results: CompareResults): string[] {
  const { method, rate, accuracy, deviation, seeds, beforeCut, afterCut, parameters, macs } =
    result;
  const difference = toDense(result, results);
  return [
    methodLabel(method),
    percent(accuracy) + (deviation === null ? '' : ` ± ${(100 * deviation).toFixed(2)}`),
    String(seeds.length),
    difference === undefined ? '' : pointsText(difference),
    rate === 0 || beforeCut === null ? '' : `${percent(beforeCut, 1)} → ${percent(afterCut, 1)}`,
    count(parameters),
    count(macs),
  ];
}

/** What `compare --tune-lr` prints when it is done. */
export function printTuning(context: Context, { settings, results, path }: Tuning): void {
  const { colours, width } = context;
  const { train } = settings;
  context.title(`Learning rates: ${modelLabel(train.arch, train.model)} on ${dataLabel(train)}`);
  context.print(colours.dim(wrapText(printable(tuningText(settings, results)), width)));
  context.print();
  context.table(
    [
      { title: 'method' },
      ...results.lrs.map((lr) => ({ title: String(lr), align: 'right' }) as const),
    ],
    tuningRows(settings, results).map(({ label, cells }) => [
      label,
      ...cells.map(({ text, isChosen }) => (isChosen ? bold(text) : text)),
    ]),
  );
  context.print();
  context.facts([
    ['table', relativePath(`${path}/results.md`)],
    ['chosen', relativePath(join(path, '..', 'tuning.json'))],
  ]);
}
