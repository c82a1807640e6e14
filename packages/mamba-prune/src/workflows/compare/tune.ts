// A learning rate for every method, each chosen alike: on one seed that is not compared, at one rate.
import { programWords } from '../../called-as.js';
import { dataLabel } from '../../data/data-label.js';
import { writeFileAtomic } from '@mamba-prune/libtorch/files';
import { UsageError } from '../../errors.js';
import { modelLabel } from '../../models/model-label.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import { relativePath, shellCommand } from '../../shell.js';
import { StoppedAtStartError } from '../../training/errors.js';
import { sizeInWords } from './budget.js';
import { carryOut } from './carry-out.js';
import { describe, removedText } from './describe.js';
import { CompareFolder } from './folder.js';
import { methodLabel, methodsOf } from './methods.js';
import {
  type CompareControl,
  type CompareHooks,
  type CompareRequest,
  checkRequest,
  prepare,
} from './request.js';
import { readResults } from './results.js';
import { allSeeds } from './seeds.js';
import { checkOnly } from './select-runs.js';
import {
  type CompareRun,
  type CompareSettings,
  checkCompareSettings,
  planRuns,
  todaysComparison,
} from './settings.js';
import { checkSizes } from './sizes.js';
import { type TunedRun, type TuningResults, tuningFolder, writeTuning } from './tuning-file.js';

export interface TuneRequest {
  /** Highest learning rates to try, two at least. */
  readonly lrs: readonly number[];
  /** None of those of the comparison. */
  readonly seed: number;
  /** Share to remove; this or `amount`. */
  readonly rate?: number | undefined;
  /** What is left of the budget of the comparison, as one of its `amounts`. */
  readonly amount?: Amount | undefined;
}

const tuneKinds: OptionKinds<TuneRequest> = {
  lrs: 'array',
  seed: 'number',
  rate: 'number',
  amount: 'any',
};

export interface Tuning {
  /** False if the signal stopped it, or only a part was asked for: the same call goes on. */
  readonly finished: boolean;
  readonly settings: CompareSettings;
  readonly results: TuningResults;
  /** Absolute path of the folder with the runs. */
  readonly path: string;
}

/**
 * Trains every method of a comparison with each of some learning rates, on one seed at one rate, and writes those of the
 * highest test accuracy into the comparison's folder (tuning.json), which `compare` takes from there. The runs are in the
 * folder `tune` of it. With several given dense models it begins with the first.
 *
 * @param request - of the comparison
 * @throws UsageError for a seed that is compared too, learning rates of single methods, or fewer than two rates; what `compare` throws
 */
export async function tuneRates(
  request: CompareRequest,
  tune: TuneRequest,
  control: CompareControl,
  hooks: CompareHooks = {},
): Promise<Tuning> {
  checkRequest(request, control);
  requireOptions('tuneRates', tune, tuneKinds, ['lrs', 'seed']);
  const { lrs, seed } = tune;
  if ((tune.rate === undefined) === (tune.amount === undefined)) {
    throw new UsageError(
      'compare: expected either `tune.rate` or `tune.amount`, the size to choose learning rates at.',
    );
  }
  if (request.lrOf !== undefined) {
    throw new UsageError(
      `compare: got learning rates of ${Object.keys(request.lrOf).join(', ')} beside those to choose from, which are tried ` +
        'for every method alike. Leave `lrOf` out, and give it to the comparison.',
    );
  }
  if (allSeeds(request).includes(seed)) {
    throw new UsageError(
      `compare: got the seed ${seed} to choose learning rates with, which is compared too, expected another. ` +
        'Change `tune.seed`.',
    );
  }
  const { dense, ...today } = todaysComparison(request);
  const out = tuningFolder(control.out);
  const part = {
    ...today,
    seedsAt: undefined,
    seeds: [seed],
    rates: tune.rate === undefined ? undefined : [tune.rate],
    amounts: tune.amount === undefined ? undefined : [tune.amount],
    ...(dense && { dense: dense.slice(0, 1) }),
  };
  checkSizes(part);
  const { settings: asked, division } = await prepare(part, { ...control, out });
  const [rate = NaN] = asked.rates;
  const wanted = { ...asked, lrs: [...lrs].sort((a, b) => a - b) };
  checkCompareSettings(wanted);
  const { args = [], overwrite } = control;
  const begun = CompareFolder.settingsOf(out, { overwrite });
  const other =
    begun?.seeds.find((before) => before !== seed) ?? begun?.rates.find((r) => r !== rate);
  if (begun && other !== undefined) {
    throw new UsageError(
      `compare: got the seed ${seed} and the ${sizeInWords(asked, rate)} to choose learning rates with, but ${relativePath(out)} holds a choice at the ` +
        `seed ${begun.seeds.join(', ')} and the ${begun.rates.map((r) => sizeInWords(begun, r)).join(', ')}, expected the same. ` +
        'Change `tune.seed` or `tune.rate`, or give `overwrite` to choose anew.',
    );
  }
  checkOnly(planTuning(wanted, ''), control.only);
  const folder = CompareFolder.open(out, wanted, { args, overwrite });
  try {
    const { settings, path } = folder;
    const runs = planTuning(settings, path);
    const written = (): TuningResults => {
      const results = tuningResults({ ...settings, seeds: [seed], rates: [rate] }, path);
      writeTuning(control.out, results, settings);
      const command = shellCommand([...programWords(), ...args]);
      writeFileAtomic(folder.file('results.md'), tuningMarkdown(settings, results, command));
      return results;
    };
    const finished = await carryOut(folder, runs, {
      control: { ...control, out },
      division,
      hooks,
      onRunEnd: () => Promise.resolve(written()),
    });
    if (!finished && folder.bringBackReplaced()) throw new StoppedAtStartError(path);
    return { finished, settings, results: written(), path };
  } finally {
    folder.release();
  }
}

/**
 * The runs of a tuning: those of a comparison, once for each learning rate, with one base for all.
 * @param out - absolute path of the tuning's folder
 */
export function planTuning(settings: CompareSettings, out: string): CompareRun[] {
  const seen = new Set<string>();
  return (settings.lrs ?? [])
    .flatMap((lr) => runsAt(settings, lr, out))
    .filter(({ name }) => {
      const isNew = !seen.has(name);
      seen.add(name);
      return isNew;
    });
}

function runsAt(settings: CompareSettings, lr: number, out: string): CompareRun[] {
  const lrOf = Object.fromEntries(methodsOf(settings).map((method) => [method, lr]));
  const named = (name: string): string => `${name}-lr-${lr}`;
  return planRuns({ ...settings, lrOf }, out).map((run) => {
    if (run.method === undefined) return run;
    const name = named(run.name);
    return run.method === 'scratch' ? { ...run, name, after: named(run.after) } : { ...run, name };
  });
}

function tuningResults(settings: CompareSettings, folder: string): TuningResults {
  const { lrs = [], seeds, rates } = settings;
  const runs = lrs.flatMap((lr): TunedRun[] =>
    readResults(settings, runsAt(settings, lr, folder), folder).runs.map(
      ({ method, accuracy, run }) => ({ method, lr, accuracy, run }),
    ),
  );
  const whole = methodsOf(settings).filter(
    (method) => runs.filter((run) => run.method === method).length === lrs.length,
  );
  const best = whole.map((method): TunedRun => {
    const own = runs.filter((run) => run.method === method);
    return own.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
  });
  return {
    rate: rates[0] ?? NaN,
    seed: seeds[0] ?? NaN,
    lrs,
    runs,
    chosen: Object.fromEntries(best.map(({ method, lr }) => [method, lr])),
    atTheEdge: best
      .filter(({ lr }) => lr === lrs[0] || lr === lrs.at(-1))
      .map(({ method }) => method),
  };
}

/** A row for every method, with the accuracies at the learning rates; the one chosen is marked. */
export function tuningRows(
  settings: CompareSettings,
  { lrs, runs, chosen }: TuningResults,
): { readonly label: string; readonly cells: readonly { text: string; isChosen: boolean }[] }[] {
  return methodsOf(settings).map((method) => ({
    label: methodLabel(method),
    cells: lrs.map((lr) => {
      const run = runs.find((found) => found.method === method && found.lr === lr);
      return {
        text: run ? `${(100 * run.accuracy).toFixed(2)}%` : '',
        isChosen: chosen[method] === lr,
      };
    }),
  }));
}

/** How the rates were chosen, in whole sentences. */
export function tuningText(settings: CompareSettings, results: TuningResults): string {
  const { rate, seed, atTheEdge } = results;
  return (
    `${removedText(rate, settings)} removed, seed ${seed}; ${describe({ ...settings, seeds: [seed] })}. The best ` +
    'accuracy on the test images decides, for every method alike; the seed is not compared.' +
    (atTheEdge.length > 0
      ? ` The best rate of ${atTheEdge.map(methodLabel).join(', ')} is the lowest or the highest tried: one beyond it may be better.`
      : '')
  );
}

function tuningMarkdown(
  settings: CompareSettings,
  results: TuningResults,
  command: string,
): string {
  const { train } = settings;
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const lines = [
    `# Learning rates: ${modelLabel(train.arch, train.model)} on ${dataLabel(train)}`,
    '',
    `    ${command}`,
    '',
    tuningText(settings, results),
    '',
    row(['method', ...results.lrs.map(String)]),
    row(['---', ...results.lrs.map(() => '---:')]),
    ...tuningRows(settings, results).map(({ label, cells }) =>
      row([label, ...cells.map(({ text, isChosen }) => (isChosen ? `**${text}**` : text))]),
    ),
  ];
  return `${lines.join('\n')}\n`;
}
