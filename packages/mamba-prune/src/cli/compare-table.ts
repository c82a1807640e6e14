// What `compare` prints when it is done.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Comparison } from '../workflows/compare/compare.js';
import {
  describe,
  methodLabel,
  pointsText,
  removedText,
  testText,
} from '../workflows/compare/report.js';
import { type MethodResult, sizeSpread } from '../workflows/compare/results.js';
import { modelLabel } from '../models/model-label.js';
import type { Context } from './context.js';
import { relativePath } from '../shell.js';
import { count, percent } from '../format.js';
import { bold } from './terminal/layout.js';
import { printable } from './terminal/printable.js';
import { wrapText } from './terminal/text.js';

export function printComparison(context: Context, { settings, results, path }: Comparison): void {
  const { colours, width } = context;
  const { dim } = colours;
  const dense = results.methods.find(({ method }) => method === 'dense');
  context.title(
    `${modelLabel(settings.train.arch, settings.train.model)} on ${settings.train.dataset}`,
  );
  context.print(dim(wrapText(printable(`${describe(settings)}.`), width)));
  for (const rate of settings.rates) {
    const methods = results.methods.filter((result) => result.rate === 0 || result.rate === rate);
    context.print();
    context.title(`  ${removedText(rate, settings.targets)} removed`);
    context.table(
      [
        { title: 'method' },
        { title: 'accuracy', align: 'right' },
        { title: 'to dense', align: 'right' },
        { title: 'at the cut', align: 'right' },
        { title: 'parameters', align: 'right' },
        { title: 'MACs', align: 'right' },
      ],
      methods.map((result) => {
        const row = rowOf(result, dense);
        return result === best(methods) ? row.map(bold) : row;
      }),
    );
    context.print();
    const tests = [...results.tests, ...results.baselineTests].filter((test) => test.rate === rate);
    for (const test of tests) context.paragraph(`${testText(test)}.`);
  }
  context.print();
  context.print(
    dim(
      wrapText(
        'Accuracy: mean and standard deviation over the seeds. At the cut: just before and just after it. ' +
          'Tests: paired by seed, two-sided.',
        width,
      ),
    ),
  );
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

function rowOf(result: MethodResult, dense: MethodResult | undefined): string[] {
  const { method, rate, accuracy, deviation, beforeCut, afterCut, parameters, macs } = result;
  return [
    methodLabel(method),
    percent(accuracy) + (deviation === null ? '' : ` ± ${(100 * deviation).toFixed(2)}`),
    rate === 0 || !dense ? '' : pointsText(accuracy - dense.accuracy),
    rate === 0 ? '' : `${percent(beforeCut, 1)} → ${percent(afterCut, 1)}`,
    count(parameters),
    count(macs),
  ];
}
