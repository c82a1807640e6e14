// The files of a comparison's results: JSON, Markdown, SVG, PNG.
import { dataLabel } from '../../data/data-label.js';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { pointsText } from '../../format.js';
import { modelLabel } from '../../models/model-label.js';
import { loadReportPackage } from '../../report-package.js';
import { describe, doneText, headingOf, rateText, remarks, removedText } from './describe.js';
import type { CompareFolder } from './folder.js';
import { heldBackText } from './held-back.js';
import { methodLabel, methodsOf } from './methods.js';
import type { MethodResult } from './outcomes.js';
import { type CompareResults, sizeSpread } from './results.js';
import { allSeeds } from './seeds.js';
import type { CompareSettings } from './settings.js';
import { testNote, testSections } from './test-text.js';
import { toDense } from './to-dense.js';

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
    const { svg, png } = await drawComparison(
      { ...results, amountsAt: settings.amountsAt },
      headingOf(settings),
    );
    writeFileAtomic(folder.file('accuracy-macs.svg'), svg);
    writeFileAtomic(folder.file('accuracy-macs.png'), png);
    return undefined;
  } catch (error) {
    // A pack for a GPU server is without what draws; the numbers are what matters.
    const reason = (error as Error).message.split('\n')[0]?.replace(/\.$/, '') ?? '';
    return `accuracy-macs.svg and .png were not written: ${reason}. The same command again draws them.`;
  }
}

/** A table of the methods, the tests, and every run. */
export function markdown(
  settings: CompareSettings,
  results: CompareResults,
  command: string,
): string {
  const { rates } = settings;
  const seeds = allSeeds(settings);
  const { done, planned } = results;
  const spread = sizeSpread(results);
  const note = testNote(results, "Student's paired t-test over the seeds, two-sided.");
  const lines = [
    `# ${modelLabel(settings.train.arch, settings.train.model)} on ${dataLabel(settings.train)}: ${methodsOf(settings).map(methodLabel).join(', ')}`,
    '',
    `    ${command}`,
    '',
    `${describe(settings)}. Removed: ${rates.map((rate) => removedText(rate, settings)).join('; ')}. ` +
      `Seeds ${seeds.join(', ')}.`,
    ...[...remarks(settings), ...heldBackText(results.runs)].flatMap((remark) => ['', remark]),
    ...(done < planned ? ['', `**${doneText(results)}.**`] : []),
    '',
    '| method | removed | accuracy | n | to dense | before the cut | after the cut | parameters | MACs |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    ...results.methods.map((result) => methodRow(result, results, settings)),
    '',
    'Accuracy: mean and sample standard deviation over n seeds. To dense: over the seeds that both have.',
    ...(spread > 0.005
      ? [`Within one rate the MACs differ by up to ${(100 * spread).toFixed(1)}%.`]
      : []),
    ...testSections(results).flatMap(({ title, tests }) => [
      '',
      `## ${title}`,
      '',
      ...tests.map(
        ({ rate, text }) =>
          `- ${rates.length > 1 ? `At ${rateText(rate, settings)}: ` : ''}${text}.`,
      ),
    ]),
    ...(note === '' ? [] : ['', note]),
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

function methodRow(
  result: MethodResult,
  results: CompareResults,
  settings: CompareSettings,
): string {
  const { method, rate, accuracy, deviation, beforeCut, afterCut, parameters, macs } = result;
  const difference = toDense(result, results);
  return row(
    methodLabel(method),
    rate === 0 ? '' : rateText(rate, settings),
    percent(accuracy) + (deviation === null ? '' : ` ± ${(100 * deviation).toFixed(2)}`),
    String(result.seeds.length),
    difference === undefined ? '' : pointsText(difference),
    rate === 0 ? '' : percent(beforeCut),
    rate === 0 ? '' : percent(afterCut),
    grouped(parameters),
    grouped(macs),
  );
}

const row = (...cells: string[]): string => `| ${cells.join(' | ')} |`;
const percent = (value: number | null): string =>
  value === null ? '' : `${(100 * value).toFixed(2)}%`;
const grouped = (value: number): string => Math.round(value).toLocaleString('en-US');
