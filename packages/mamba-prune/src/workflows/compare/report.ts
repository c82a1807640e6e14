// The files of a comparison's results: JSON, Markdown, SVG, PNG.
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { modelLabel } from '../../models/model-label.js';
import { type PictureHeading, loadReportPackage } from '../../report-package.js';
import type { CompareFolder } from './folder.js';
import { type CompareResults, type MethodResult, type MethodTest, sizeSpread } from './results.js';
import { type CompareMethod, type CompareSettings, percentName } from './settings.js';

const methodLabels: Readonly<Record<CompareMethod, string>> = {
  dense: 'dense',
  oneshot: 'one-shot',
  refill: 'Refill',
  rsst: 'RSST',
};

/** As tables call a method. */
export const methodLabel = (method: CompareMethod): string => methodLabels[method];

/** `70% of ssm and mlp` */
export const removedText = (rate: number, targets: readonly string[]): string =>
  `${percentName(rate)}% of ${targets.join(' and ')}`;

/** How it was compared, in one line. */
export function describe({ train, finetune, seeds, rsst }: CompareSettings): string {
  const count = seeds.length === 1 ? '1 seed' : `${seeds.length} seeds`;
  return (
    `${count}; ${train.recipe.epochs} epochs dense, then ` +
    `${finetune.epochs} for every method (RSST: ${rsst.epochs} regularised)`
  );
}

/** +0.12 or -0.12, in points of a percent. */
export const pointsText = (value: number, digits = 2): string =>
  `${value < 0 ? '-' : '+'}${Math.abs(100 * value).toFixed(digits)}`;

/** 0.034, or <0.001: more digits than that mean nothing. */
export const pText = (p: number): string => (p < 0.001 ? '< 0.001' : `= ${p.toFixed(3)}`);

/** The outcome of a test as a sentence without an end. */
export function testText({
  methods,
  difference,
  interval,
  t,
  p,
  pairs,
  confidence,
}: MethodTest): string {
  const [a, b] = methods.map(methodLabel);
  const head = `${a ?? ''} - ${b ?? ''}: ${pointsText(difference)} points`;
  if (t === null || p === null || interval === null) {
    return pairs < 2
      ? `${head} (one seed: no test)`
      : `${head} for every seed: without any spread there is no test`;
  }
  const share = `${100 * confidence}%`;
  const verdict =
    p < 1 - confidence
      ? `${difference > 0 ? (a ?? '') : (b ?? '')} is better`
      : 'no difference shown';
  return (
    `${head} (${share} interval ${pointsText(interval[0])} to ${pointsText(interval[1])}), ` +
    `t = ${t.toFixed(2)}, p ${pText(p)}: ${verdict}`
  );
}

/**
 * Writes results.json and results.md, and with `chart` the picture.
 * @returns a note if the picture could not be drawn
 */
export async function writeResults(
  folder: CompareFolder,
  results: CompareResults,
  { chart, command }: { readonly chart: boolean; readonly command: string },
): Promise<string | undefined> {
  const { settings } = folder;
  const json = { kind: 'mamba-prune comparison results', format: 1, ...results, settings };
  writeFileAtomic(folder.file('results.json'), `${JSON.stringify(json, null, 1)}\n`);
  writeFileAtomic(folder.file('results.md'), markdown(settings, results, command));
  if (!chart || results.methods.length === 0) return undefined;
  try {
    const { drawComparison } = await loadReportPackage('the picture needs');
    const { svg, png } = await drawComparison(results, headingOf(settings));
    writeFileAtomic(folder.file('accuracy-macs.svg'), svg);
    writeFileAtomic(folder.file('accuracy-macs.png'), png);
    return undefined;
  } catch (error) {
    // A pack for a GPU server is without what draws; the numbers are what matters.
    const reason = (error as Error).message.split('\n')[0]?.replace(/\.$/, '') ?? '';
    return `accuracy-macs.svg and .png were not written: ${reason}. The same command again draws them.`;
  }
}

function headingOf({ seeds, train, finetune }: CompareSettings): PictureHeading {
  const shown =
    seeds.length === 1
      ? 'One seed.'
      : `Mean of ${seeds.length} seeds (small dots) with one standard deviation.`;
  return {
    title: `Accuracy against cost: ${modelLabel(train.arch, train.model)} on ${train.dataset}`,
    lines: [
      `${shown} Methods of one size stand side by side.`,
      `${train.recipe.epochs} epochs dense, then ${finetune.epochs} for every method.`,
    ],
  };
}

/** A table of the methods, the tests, and every run. */
export function markdown(
  settings: CompareSettings,
  results: CompareResults,
  command: string,
): string {
  const { targets, rates, seeds } = settings;
  const { done, planned } = results;
  const spread = sizeSpread(results);
  const lines = [
    `# ${modelLabel(settings.train.arch, settings.train.model)} on ${settings.train.dataset}: dense, one-shot, Refill, RSST`,
    '',
    `    ${command}`,
    '',
    `${describe(settings)}. Removed: ${rates.map((rate) => removedText(rate, targets)).join('; ')}. ` +
      `Seeds ${seeds.join(', ')}.`,
    ...(done < planned ? ['', `**${done} of ${planned} runs are done.**`] : []),
    '',
    '| method | removed | accuracy | to dense | before the cut | after the cut | parameters | MACs |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...results.methods.map((result) => methodRow(result, results)),
    '',
    'Accuracy: mean and sample standard deviation over the seeds.',
    ...(spread > 0.005
      ? [`Within one rate the MACs differ by up to ${(100 * spread).toFixed(1)}%.`]
      : []),
    ...section('Refill against RSST', results.tests, rates),
    ...section('Against one-shot pruning', results.baselineTests, rates),
    '',
    "Student's paired t-test over the seeds, two-sided.",
    '',
    '![accuracy against MACs](accuracy-macs.svg)',
    '',
    '## Runs',
    '',
    '| run | accuracy | before the cut | after the cut | parameters | MACs |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...results.runs.map((run) =>
      row(
        run.run,
        percent(run.accuracy),
        percent(run.beforeCut),
        percent(run.afterCut),
        grouped(run.parameters),
        grouped(run.macs),
      ),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function methodRow(result: MethodResult, { methods }: CompareResults): string {
  const { method, rate, accuracy, deviation, beforeCut, afterCut, parameters, macs } = result;
  const dense = methods.find((other) => other.method === 'dense');
  return row(
    methodLabel(method),
    rate === 0 ? '' : `${percentName(rate)}%`,
    percent(accuracy) + (deviation === null ? '' : ` ± ${(100 * deviation).toFixed(2)}`),
    rate === 0 || !dense ? '' : pointsText(accuracy - dense.accuracy),
    rate === 0 ? '' : percent(beforeCut),
    rate === 0 ? '' : percent(afterCut),
    grouped(parameters),
    grouped(macs),
  );
}

function section(title: string, tests: readonly MethodTest[], rates: readonly number[]): string[] {
  if (tests.length === 0) return [];
  const label = (test: MethodTest): string =>
    rates.length > 1 ? `At ${percentName(test.rate)}%: ` : '';
  return ['', `## ${title}`, '', ...tests.map((test) => `- ${label(test)}${testText(test)}.`)];
}

const row = (...cells: string[]): string => `| ${cells.join(' | ')} |`;
const percent = (value: number): string => `${(100 * value).toFixed(2)}%`;
const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');
