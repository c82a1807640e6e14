import { programWords } from '../called-as.js';
import { resolve } from 'node:path';
import { isDataset, needsFolder } from '../data/datasets.js';
import { defaultPreprocessing, preprocessingOf } from '../preparation/preprocessing.js';
import { isAnySize } from '../workflows/fit.js';
import { nothingRemoved } from '../workflows/prune/narrow-groups.js';
import type { PruneRun } from '../workflows/prune/run.js';
import type { PruningRecord, RoundRecord } from '../workflows/prune/record.js';
import { printBudget } from './budget-table.js';
import type { Context } from './context.js';
import {
  type FlagNames,
  importanceInWords,
  pruneFlags,
  rateRemarks,
  warningsOf,
} from './pruning-remarks.js';
import { relativePath, shellCommand, wrapCommand } from '../shell.js';
import { indent } from './terminal/text.js';
import { type Cell, bold } from './terminal/layout.js';
import { count, grouped, percent, pointsText, times } from '../format.js';
import { printableLine } from './terminal/printable.js';

export interface PrintOptions {
  /** What the command's flags are called. By default those of prune. */
  readonly flags?: FlagNames;
  /** Folder of the images that were used. */
  readonly data?: string | undefined;
}

/**
 * The result of a pruning run, for people and for machines.
 * @param more - further entries of the JSON object
 */
export async function printPruningRun(
  context: Context,
  run: PruneRun,
  more: object,
  { flags = pruneFlags, data }: PrintOptions = {},
): Promise<void> {
  const { path, record, result } = run;
  const { encodeRecord } = await import('../workflows/prune/record.js');
  const warnings = warningsOf(record, flags);
  const next = trainingCommand(run, data, context.given.plugin);
  context.json({
    run: path,
    model: resolve(path, 'model.safetensors'),
    ...more,
    ...encodeRecord(record),
    training: result ?? null,
    warnings,
    next: next ? shellCommand(next) : null,
  });
  // Those of the last cut stand there already, unless it was made before the run was resumed.
  for (const warning of warnings) context.note(warning);
  // Apart from the lines about the rounds.
  if (record.rounds.length > 1) context.progress.line('');
  context.pathTitle(path);
  printPruned(context, record);
  context.print();
  context.paragraph(accuracyInWords(run));
  context.print();
  printBudget(context, record);
  printKinds(context, record, flags);
  context.print();
  // Regularised training comes between what was pruned and the cut.
  if (record.rounds.length > 1 || record.method === 'rsst') {
    printRounds(context, record);
    context.print();
  }
  printCut(context, record);
  if (next === undefined) return;
  context.print();
  context.title('Next');
  context.paragraph(
    'A cut model is trained on before it is used: that wins back most of what the cut cost.',
  );
  const command = wrapCommand(next.map(printableLine), context.width - indent.length);
  for (const line of command.split('\n')) {
    context.print(indent + context.colours.cyan(line));
  }
}

/** What the accuracies were measured on; or that there are none, and what it takes. */
function accuracyInWords({ record, info }: PruneRun): string {
  const { measuredOn, accuracy } = record;
  if (measuredOn) {
    const { images, of, dataset } = measuredOn;
    const part = images < of ? `${grouped(images)} of the ${grouped(of)}` : `the ${grouped(of)}`;
    return `Accuracies are those on ${part} test images of ${dataset}.`;
  }
  if (accuracy.before !== null) return 'Accuracies are those on the test images.';
  const { dataset } = info;
  const trainedOn = dataset === undefined ? '' : `; it was trained on ${dataset}`;
  return (
    `How accurate the model is now is not known, for there were no images to measure it on${trainedOn}. ` +
    'Give them with --dataset and --data: the accuracy is then measured before and after the cut, and ' +
    'the units are chosen by what they do on real images.'
  );
}

/**
 * @param plugins - the modules that were given
 * @returns what to type to train what was cut; undefined if it was trained, or there was no cut
 */
export function trainingCommand(
  run: PruneRun,
  data: string | undefined,
  plugins: readonly string[] = [],
): string[] | undefined {
  const { path, record, info, model } = run;
  if (info.history.at(-1)?.['step'] !== 'prune' || nothingRemoved(record)) return undefined;
  const dataset = record.measuredOn?.dataset ?? info.dataset;
  const { imageSize } = model.config;
  // Where nothing says which they are, images of up to 32 px may be those of CIFAR or MNIST, which are taken as they are.
  const resized = dataset ?? (imageSize > 32 ? 'folder' : undefined);
  return [
    ...programWords(),
    'train',
    '--from',
    relativePath(path),
    '--dataset',
    dataset ?? 'NAME',
    // With a folder of its own, what is found without one may be divided otherwise.
    ...(dataset !== undefined && !needsFolder(dataset) && data === undefined
      ? []
      : ['--data', data ?? 'DIR']),
    ...(resized !== undefined && isAnySize(resized)
      ? ['--image-size', String(imageSize), ...preparationFlags(resized, run)]
      : []),
    '--epochs',
    '10',
    '--lr',
    '5e-4',
    '--out',
    `${relativePath(path)}-trained`,
    ...plugins.flatMap((name) => ['--plugin', name]),
    // Registered by a module that was not given: without it train does not know the name.
    ...(dataset === undefined || isDataset(dataset) ? [] : ['--plugin', 'FILE']),
  ];
}

/** What train would choose otherwise than the model's record has it: a model is trained on as it was trained. */
function preparationFlags(dataset: string, { info, model }: PruneRun): string[] {
  const { interpolation, cropShare } = preprocessingOf(info, model.config.imageSize);
  const usual = defaultPreprocessing(dataset);
  return [
    ...(interpolation === usual.interpolation ? [] : ['--interpolation', interpolation]),
    ...(cropShare === usual.cropShare ? [] : ['--crop-share', String(cropShare)]),
  ];
}

/** Of every kind: how many units there were and are, and which share was to go and went. */
function printKinds(context: Context, record: PruningRecord, flags: FlagNames): void {
  const { rates, rounds, reached, costBudget } = record;
  const last = rounds.at(-1);
  // A budget decides the rates; near-zero has none.
  const byNorm = costBudget === undefined && Object.values(rates).every((rate) => rate === 0);
  const sum = (widths: Readonly<Record<string, number>>, kind: string): number =>
    Object.entries(widths).reduce(
      (total, [name, width]) => total + (kindOf(record, name) === kind ? width : 0),
      0,
    );
  context.table(
    [
      { title: 'units' },
      { title: 'before', align: 'right' },
      { title: 'after', align: 'right' },
      { title: costBudget ? 'solved to go' : 'asked to go', align: 'right' },
      { title: 'gone', align: 'right' },
    ],
    Object.keys(rates).map((kind) => {
      const [before, after] = [sum(record.widthsBefore, kind), sum(record.widthsAfter, kind)];
      const gone = reached?.[kind] ?? (before > 0 ? 1 - after / before : 0);
      const asked = byNorm ? '-' : percent(last?.rates[kind] ?? rates[kind], 1);
      return [kind, grouped(before), grouped(after), asked, percent(gone, 1)];
    }),
  );
  context.print();
  context.paragraph(`Chosen by ${importanceInWords(record)}.`);
  for (const remark of rateRemarks(record, flags)) context.paragraph(remark);
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
  const compensation = rounds.at(-1)?.compensation;
  const uncompensated = compensation?.accuracyBefore ?? null;
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
        ? [
            ...(compensation
              ? [row('accuracy uncompensated', uncompensated, percent(uncompensated))]
              : []),
            row('accuracy after the cut', afterCut, percent(afterCut)),
          ]
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
  return `${pointsText(after - before)} points`;
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
      return [name, grouped(before), grouped(after), percent(share, 1), { share }];
    }),
  );
}

const kindOf = ({ kinds }: PruningRecord, group: string): string => kinds[group] ?? '';
