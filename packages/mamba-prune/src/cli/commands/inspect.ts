import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { GroupSummary, ModelSummary } from '../../bench/inspect.js';
import { type Cli, type Context, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { addCommonOptions } from '../options/common.js';
import { bar } from '../terminal/bars.js';
import { bytes, count, grouped, percent } from '../terminal/format.js';

export function addInspectCommand(program: Command, cli: Cli): void {
  const command = program
    .command('inspect')
    .summary('show the width, parameters and MACs of every group')
    .description(
      'Shows what a model consists of: the width of every prunable group against its width before ' +
        'pruning, parameters, and multiply-accumulates (MACs) for one image.',
    )
    .argument('<MODEL|RUN>', 'a .safetensors file, the folder of a run, or hf:owner/name');
  addCommonOptions(command, { computes: false });
  addExamples(command, [
    ['A trained model', 'mamba-prune inspect runs/quickstart/pruned'],
    ['Its MACs as a number', 'mamba-prune inspect model.safetensors --json | jq .macs'],
  ]);
  action(cli, command, async (context, argument) => {
    const path = await findModel(context, argument);
    const { loadModel } = await import('../../models/model-file.js');
    const { inspectModel } = await import('../../bench/inspect.js');
    const { model, info } = loadModel(path);
    const summary = inspectModel(model, info);
    const fileBytes = statSync(path).size;
    model.dispose();
    const { history, ...facts } = info;
    context.json({ path, fileBytes, ...summary, ...facts, history });
    print(context, path, fileBytes, summary, info.dataset);
  });
}

function print(
  context: Context,
  path: string,
  fileBytes: number,
  summary: ModelSummary,
  dataset: string | undefined,
): void {
  const { arch, input, classes, groups, rest, parameters, macs } = summary;
  context.title(path);
  context.facts([
    ['model', `${arch}, input ${input.join('x')}, ${classes} classes`],
    ...(dataset === undefined ? [] : [['trained on', dataset] as const]),
    ['parameters', `${count(parameters)}  (${grouped(parameters)})`],
    ['MACs', `${count(macs)} for one image`],
    ['file', bytes(fileBytes)],
  ]);
  context.print();
  context.table(
    [
      { title: 'group', flexible: true },
      { title: 'width', align: 'right' },
      { title: 'of', align: 'right' },
      { title: '' },
      { title: 'parameters', align: 'right' },
      { title: 'MACs', align: 'right' },
    ],
    [
      ...groups.filter(isShown).map((group) => groupRow(context, group)),
      ['everything else', '', '', '', count(rest.parameters), count(rest.macs)],
      ['total', '', '', '', count(parameters), count(macs)].map(context.colours.bold),
    ],
  );
  context.print();
  for (const kind of new Set(groups.map((group) => group.kind))) {
    context.print(`  ${kindLine(kind, groups)}`);
  }
}

/** Two small groups more for every block would bury the others, unless something was cut from them. */
function isShown({ optional, width, denseWidth }: GroupSummary): boolean {
  return !optional || width < denseWidth;
}

function groupRow({ colours }: Context, group: GroupSummary): string[] {
  const { name, width, denseWidth, parameters, macs, optional } = group;
  return [
    name,
    String(width),
    String(denseWidth),
    bar(width / denseWidth, 20, colours),
    // Those of optional groups count for the group whose parameters they are part of.
    ...(optional ? ['', ''] : [count(parameters), count(macs)]),
  ];
}

function kindLine(kind: string, groups: readonly GroupSummary[]): string {
  const own = groups.filter((group) => group.kind === kind);
  const width = own.reduce((sum, group) => sum + group.width, 0);
  const dense = own.reduce((sum, group) => sum + group.denseWidth, 0);
  const state = width === dense ? 'nothing removed' : `${percent(1 - width / dense, 1)} removed`;
  const hidden = width === dense && own.every(({ optional }) => optional);
  const note = hidden ? ` (not listed; cut with --${kind.replace('_', '-')}-rate)` : '';
  return `${kind}: ${grouped(width)} of ${grouped(dense)} units, ${state}${note}`;
}
