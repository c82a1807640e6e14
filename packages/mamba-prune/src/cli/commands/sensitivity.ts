import { programWords } from '../../called-as.js';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { digits } from '../../format.js';
import type { ImportOptions } from '../../models/import/model.js';
import type { UnitScore } from '../../pruning/importances.js';
import { relativePath, resumeCommand, shellCommand } from '../../shell.js';
import type { SearchRecord, SensitivityFile } from '../../workflows/sensitivity/file.js';
import type { SensitivitySettings } from '../../workflows/sensitivity/settings.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { readingOff } from '../../releasing.js';
import { openFile } from '../open-model.js';
import { type TrainingOptions, addCommonOptions } from '../options/common.js';
import { compensateOf } from '../options/compensation.js';
import { type DataOptions, addDataOptions } from '../options/data.js';
import {
  type ImportFlags,
  addImportOptions,
  importOptionsOf,
  modelArgument,
} from '../options/import.js';
import { checkMeasurementFlags } from '../options/pruning-checks.js';
import { modelKinds, ratesOf, usualRate } from '../options/rates.js';
import { type SensitivityFlags, addSensitivityOptions, targetOf } from '../options/sensitivity.js';
import { printSensitivity } from '../sensitivity-chart.js';
import { interruptible } from '../work.js';

type SensitivityOptions = TrainingOptions & DataOptions & ImportFlags & SensitivityFlags;
type SensitivityContext = Context<SensitivityOptions>;

export function addSensitivityCommand(program: Command, cli: Cli): void {
  const command = program
    .command('sensitivity')
    .summary('measure what each part of a model loses when it is cut')
    .description(
      'Cuts each group of a model alone at several rates and measures accuracy and loss each time, on ' +
        'held-out images: training images without augmentation, unless --split says otherwise, so that the ' +
        'test images stay for the end. The model stays as it is. The file that --out names holds the curves: ' +
        'prune --rates-from makes a rate for each group of them, and report draws them. --search looks on ' +
        'from there for the rates of least loss right after the cut.',
    )
    .argument('[MODEL|RUN]', `${modelArgument}; not needed to resume`);
  addSensitivityOptions(command);
  addDataOptions(command, 'the one the model was trained on');
  addImportOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    ['Which groups matter', 'mamba-prune sensitivity runs/a'],
    [
      'Measure, then cut to 30% of the multiply-accumulates where it costs least',
      'mamba-prune sensitivity runs/a --out runs/a/sensitivity.json\n' +
        '  mamba-prune prune runs/a --rates-from runs/a/sensitivity.json \\\n' +
        '    --target-macs 0.3x --out runs/a-cut',
    ],
    [
      'Search for ten minutes, and for ten more',
      'mamba-prune sensitivity runs/a --search greedy --target-macs 0.3x \\\n' +
        '    --minutes 10 --out a.json\n' +
        '  mamba-prune sensitivity --resume --minutes 10 --out a.json',
    ],
  ]);
  action<SensitivityOptions>(cli, command, async (context, argument?: string) => {
    const { options } = context;
    const { out, resume, overwrite, minutes, batchSize } = options;
    const earlier = await earlierFile(options);
    const settings = await settingsOf(context, argument, earlier);
    const { prepareDevice } = await import('../device.js');
    const { sensitivityRun } = await import('../../workflows/sensitivity/run.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = prepareDevice(options, onNote);
    const end = minutes === undefined ? Infinity : performance.now() + minutes * 60_000;
    const run = await interruptible(context, (signal) =>
      sensitivityRun(
        settings,
        {
          out,
          resume,
          overwrite,
          batchSize,
          device,
          signal,
          isOver: () => performance.now() >= end,
          data: { onNote },
        },
        progressHooks(context),
      ),
    );
    const { file, finished } = run;
    const goOn = out === undefined ? undefined : resumeCommand('sensitivity', out, context.given);
    const isOver = performance.now() >= end;
    if (!finished && !isOver) {
      throw new InterruptedError(
        out === undefined
          ? 'Stopped; without --out nothing is kept.'
          : `Stopped; what was measured is in ${relativePath(out)}.`,
        goOn,
      );
    }
    const path = out === undefined ? null : resolve(out);
    context.json({ ...file, finished, out: path });
    printSensitivity(context, file);
    if (finished && out !== undefined) {
      const { plugin = [] } = context.given;
      const { dataset, data } = resume === true ? file.images : context.given;
      const line = shellCommand([
        ...programWords(),
        'prune',
        relativePath(file.model.path),
        '--rates-from',
        out,
        ...rateWithin(file),
        ...(await sameCut(file)),
        ...(dataset === undefined ? [] : ['--dataset', dataset]),
        ...(data === undefined ? [] : ['--data', data]),
        ...plugin.flatMap((name) => ['--plugin', name]),
      ]);
      context.print();
      context.facts([
        ['file', relativePath(out)],
        ['cut by it', `${line} --out DIR`],
      ]);
    }
    if (!finished) {
      const what =
        goOn === undefined ? 'Give --out to keep what is measured.' : `Go on with:  ${goOn}`;
      context.note(`The time was over before everything was measured. ${what}`);
    }
  });
}

function progressHooks({ progress }: SensitivityContext) {
  let label = '';
  const show = (what: string, done: number, total: number, unit: string): void => {
    if (label !== what) progress.begin(what, total, unit, done);
    label = what;
    progress.update(done);
  };
  return {
    onPoint: (done: number, total: number): void => {
      show('sensitivity', done, total, 'cuts');
    },
    onSearch: ({ method, evaluations, best }: SearchRecord, share: number): void => {
      show(`${method} search`, Math.floor(100 * share), 100, '%');
      const extra = `${evaluations.length} models${best ? `, best loss ${digits(best.loss, 4)}` : ''}`;
      progress.update(Math.floor(100 * share), { extra });
    },
  };
}

/** A rate that was measured, where the usual one asks for more than any that was; a search has rates of its own. */
function rateWithin({ rates, search }: SensitivityFile): string[] {
  const most = Math.max(...rates);
  return search || most >= usualRate ? [] : ['--rate', String(most)];
}

/** What `prune` has to be told to cut as was measured, where that is not what it does by itself. */
async function sameCut({
  model,
  importance,
  score,
  compensate: how,
}: SensitivityFile): Promise<string[]> {
  const { findFamily } = await import('../../models/families.js');
  const { defaultImportance, defaultScore } = await import('../../pruning/importances.js');
  const usual = defaultImportance(true, score as UnitScore, findFamily(model.arch)?.importance);
  return [
    ...(importance === usual ? [] : ['--importance', importance]),
    ...(score === defaultScore ? [] : ['--score', score]),
    ...(how ? ['--compensate', how.target, '--compensate-images', String(how.images)] : []),
  ];
}

async function earlierFile({
  out,
  resume,
}: SensitivityOptions): Promise<SensitivityFile | undefined> {
  if (resume !== true) return undefined;
  if (out === undefined) {
    throw new UsageError('--resume: belongs to --out, the file to go on with. Give both.');
  }
  const { readSensitivity } = await import('../../workflows/sensitivity/file.js');
  return readSensitivity(out);
}

/** What was typed over what the file has; the run itself sees whether that may be. */
async function settingsOf(
  context: SensitivityContext,
  argument: string | undefined,
  earlier: SensitivityFile | undefined,
): Promise<SensitivitySettings> {
  const { given } = context;
  const { by, rates, roundTo, images, split, importance, score, scoreBatches, precision } = given;
  const search = searchOf(given, earlier);
  checkMeasurementFlags(given, defined({ importance: importance ?? earlier?.importance, score }));
  const typed = defined({
    by,
    rates,
    roundTo,
    images,
    split,
    importance,
    score,
    scoreBatches,
    precision,
    bnBatches: given.bnBatches,
    seed: given.seed,
    dataset: given.dataset,
    data: given.data,
    search,
    ...compensateOf(given, earlier?.compensate),
  });
  if (earlier) {
    const { model, import: said } = earlier;
    const path = argument === undefined ? model.path : resolve(await findModel(context, argument));
    const told = { ...said, ...(await importOptionsOf(given)) };
    const kinds = await kindsTyped(context, path, told);
    return {
      ...settingsIn(earlier),
      ...typed,
      ...(Object.keys(told).length > 0 && { import: told }),
      ...(kinds && { kinds }),
      model: path,
    };
  }
  if (argument === undefined) {
    throw new UsageError("the argument 'MODEL|RUN' is missing, expected what to measure.");
  }
  const opened = await openFile(context, await findModel(context, argument));
  const { path, info, options: said } = opened;
  const kinds = readingOff(opened.model, (model) => modelKinds(model.pruningGroups()));
  const { recordedImages, requireOwnDataset, unknownImages } = await import('../own-images.js');
  const { dataFor } = await import('../../workflows/fit.js');
  const recorded = await recordedImages(path, info);
  const asked = defined({ dataset: given.dataset, data: given.data });
  const source = dataFor({ dataset: info.dataset, data: recorded?.data }, asked);
  if (source === undefined) throw unknownImages(path, info);
  await requireOwnDataset(path, source.dataset);
  return {
    seed: given.seed,
    ...typed,
    ...defined({ dataset: source.dataset, data: source.data }),
    dataset: source.dataset,
    model: resolve(path),
    kinds: Object.keys(ratesOf(defined({ target: given.target }), kinds)),
    ...(Object.keys(said).length > 0 && { import: said }),
  };
}

/** The kinds that --target names; undefined where it was not typed. */
async function kindsTyped(
  context: SensitivityContext,
  path: string,
  said: ImportOptions,
): Promise<string[] | undefined> {
  const { target } = context.given;
  if (target === undefined) return undefined;
  const opened = await openFile(context, path, { said });
  const kinds = readingOff(opened.model, (model) => modelKinds(model.pruningGroups()));
  return Object.keys(ratesOf({ target }, kinds));
}

/** The settings that a file was made with. */
function settingsIn(file: SensitivityFile): SensitivitySettings {
  const { images, importance, score, scoreBatches, seed, precision, by, kinds, rates } = file;
  const { dataset, data, split, count } = images;
  return {
    model: file.model.path,
    import: file.import,
    dataset,
    data,
    split,
    images: count,
    importance,
    score: score as SensitivitySettings['score'],
    scoreBatches,
    seed,
    precision: precision as SensitivitySettings['precision'],
    by,
    kinds,
    rates,
    roundTo: file.roundTo,
    compensate: file.compensate,
    bnBatches: file.bnBatches,
  };
}

/** The search that was typed; else that of the file. */
function searchOf(
  given: Partial<SensitivityOptions>,
  earlier: SensitivityFile | undefined,
): SensitivitySettings['search'] {
  const target = targetOf(given);
  const { search: method, maxRate } = given;
  if (target && method) return { method, target, ...defined({ maxRate }) };
  const before = earlier?.search;
  return (
    before && {
      method: before.method,
      target: { metric: before.budget.metric, amount: before.budget.most },
      maxRate: before.maxRate,
    }
  );
}
