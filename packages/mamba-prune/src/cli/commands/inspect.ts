import type { Command } from 'commander';
import type { GroupSummary, ModelSummary } from '../../models/inspect.js';
import { modelLabel } from '../../models/model-label.js';
import type { ModelOptions } from '../../models/model-options.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { readingOff } from '../../releasing.js';
import { openModel } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type ImportFlags, addImportOptions, modelArgument } from '../options/import.js';
import { bytes, count, grouped, percent, plural } from '../../format.js';
import { printableLine } from '../terminal/printable.js';
import { type Cell, bold } from '../terminal/layout.js';

export function addInspectCommand(program: Command, cli: Cli): void {
  const command = program
    .command('inspect')
    .summary('show the width, parameters and MACs of every group')
    .description(
      'Shows what a model consists of: the width of every prunable group against its width before ' +
        'pruning, parameters, and multiply-accumulates (MACs) for one image.',
    )
    .argument('<MODEL|RUN>', modelArgument);
  addImportOptions(command);
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A trained model', 'mamba-prune inspect runs/quickstart/pruned'],
    ['Its MACs as a number', 'mamba-prune inspect model.safetensors --json | jq .macs'],
  ]);
  action<CommonOptions & ImportFlags>(cli, command, async (context, argument: string) => {
    const { inspectModel } = await import('../../models/inspect.js');
    const { notFinite, notFiniteText } = await import('../../models/finite.js');
    const { weightsBytes } = await import('../../models/import/shards.js');
    const { storedFormats } = await import('../../models/stored-weights.js');
    const opened = await openModel(context, argument, { allowNotFinite: true });
    const { path, info } = opened;
    const { summary, broken, config } = readingOff(opened.model, (model) => ({
      summary: inspectModel(model, info),
      broken: notFinite(model.stateDict()),
      config: model.config,
    }));
    const label = modelLabel(summary.arch, config);
    const fileBytes = weightsBytes(path);
    const stored = storedFormats(path);
    const { history, ...facts } = info;
    context.json({
      path,
      ...opened.facts,
      fileBytes,
      ...(stored && { stored }),
      ...summary,
      ...facts,
      notFinite: broken,
      history,
    });
    printSummary(context, path, fileBytes, summary, info.dataset, label);
    if (stored) {
      const formats = Object.entries(stored).map(
        ([name, values], i) => `${count(values)}${i === 0 ? ' weights' : ''} in ${name}`,
      );
      context.note(
        `The file has ${formats.join(' and ')}. They were read as float32, in which the model computes.`,
      );
    }
    if (broken.length > 0) {
      context.note(
        `${path} has weights that are NaN or infinite: ${notFiniteText(broken)}. Commands that compute with the model refuse it.`,
      );
    }
  });
}

const scanText: Readonly<Record<NonNullable<ModelOptions['scan']>, string>> = {
  uni: 'uni, one direction',
  bi: 'bi, both directions in every block',
  cross: 'cross, four directions by turns',
};

/**
 * What the model is, the width of every group, and what is left of every kind.
 * @param label - with the sizes that are not those of the architecture
 */
export function printSummary(
  context: Context,
  path: string,
  fileBytes: number,
  summary: ModelSummary,
  dataset: string | undefined,
  label = summary.arch,
): void {
  const { input, classes, scan, groups, rest, parameters, macs } = summary;
  context.pathTitle(path);
  context.facts([
    ['model', `${label}, input ${input.join('x')}, ${plural(classes, 'class', 'classes')}`],
    ...(scan === undefined ? [] : [['scans', scanText[scan]] as const]),
    ...(dataset === undefined ? [] : [['trained on', printableLine(dataset)] as const]),
    ['parameters', `${count(parameters)}  (${grouped(parameters)})`],
    ['MACs', `${count(macs)} for one image`],
    ['file', bytes(fileBytes)],
  ]);
  context.print();
  context.table(
    [
      { title: 'group', flexible: true },
      { title: 'before', align: 'right' },
      { title: 'now', align: 'right' },
      { title: 'kept', align: 'right' },
      { title: '' },
      { title: 'parameters', align: 'right' },
      { title: 'MACs', align: 'right' },
    ],
    [
      ...groups.filter(isShown).map(groupRow),
      ['everything else', '', '', '', '', count(rest.parameters), count(rest.macs)],
      ['total', '', '', '', '', count(parameters), count(macs)].map(bold),
    ],
  );
  context.print();
  printKinds(context, groups);
}

/** Two small groups more for every block would bury the others, unless something was cut from them. */
function isShown({ optional, width, denseWidth }: GroupSummary): boolean {
  return !optional || width < denseWidth;
}

function groupRow(group: GroupSummary): Cell[] {
  const { name, width, denseWidth, parameters, macs, optional } = group;
  return [
    name,
    ...widthCells(denseWidth, width),
    // Those of optional groups count for the group whose parameters they are part of.
    ...(optional ? ['', ''] : [count(parameters), count(macs)]),
  ];
}

function widthCells(before: number, now: number): Cell[] {
  const share = now / before;
  return [grouped(before), grouped(now), percent(share, 1), { share }];
}

/** The units of each kind, in all groups together. */
function printKinds(context: Context, groups: readonly GroupSummary[]): void {
  const kinds = [...new Set(groups.map(({ kind }) => kind))].map((kind) => {
    const own = groups.filter((group) => group.kind === kind);
    const sum = (of: (group: GroupSummary) => number): number =>
      own.reduce((total, group) => total + of(group), 0);
    const [before, now] = [sum(({ denseWidth }) => denseWidth), sum(({ width }) => width)];
    return { kind, before, now, hidden: !own.some(isShown) };
  });
  context.table(
    [
      { title: 'units', flexible: true },
      { title: 'before', align: 'right' },
      { title: 'now', align: 'right' },
      { title: 'kept', align: 'right' },
      { title: '' },
    ],
    kinds
      .filter(({ hidden }) => !hidden)
      .map(({ kind, before, now }) => [kind, ...widthCells(before, now)]),
  );
  const hidden = kinds.filter((kind) => kind.hidden).map(({ kind }) => kind);
  if (hidden.length === 0) return;
  const flags = hidden.map((kind) => `--${kind.replace('_', '-')}-rate`);
  context.print();
  context.paragraph(
    `Not listed, nothing removed: ${hidden.join(', ')} (prune cuts them with ${flags.join(', ')}).`,
  );
}
