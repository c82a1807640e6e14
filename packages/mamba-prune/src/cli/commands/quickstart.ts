import { asTyped, programWords } from '../../called-as.js';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { defined } from '../../defined.js';
import {
  bytes,
  clock,
  count,
  grouped,
  milliseconds,
  percent,
  pointsText,
  plural,
  times,
} from '../../format.js';
import { relativePath, shellCommand } from '../../shell.js';
import type { QuickstartReport } from '../../workflows/quickstart.js';
import type { RunState } from '../../workflows/run-state.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { type TrainingOptions, addCommonOptions } from '../options/common.js';
import { passLabel } from '../pruning-progress.js';
import { type Cell, bold as strong } from '../terminal/layout.js';
import { printableLine } from '../terminal/printable.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';
import { downloadHooks, interruptedDownload } from '../transfer-progress.js';

interface QuickstartOptions extends TrainingOptions {
  readonly out: string;
  readonly fresh?: true;
}

export function addQuickstartCommand(program: Command, cli: Cli): void {
  const command = program
    .command('quickstart')
    .summary('train, prune and measure a small model in a few minutes')
    .description(
      'Trains a small vision Mamba on Fashion-MNIST (39 MB, downloaded once unless it is there), ' +
        'removes 70% of its SSM channels and MLP neurons, fine-tunes it, and shows what that gained. A second ' +
        'call uses what is there, or goes on where Ctrl-C stopped it.',
    )
    .addOption(
      new Option('--out <dir>', 'folder for the two runs, dense and pruned').default(
        join('runs', 'quickstart'),
        'runs/quickstart',
      ),
    )
    .option('--fresh', 'train again even if the runs exist');
  addCommonOptions(command);
  addExamples(command, [
    ['The tour', 'mamba-prune quickstart'],
    ['From the beginning again', 'mamba-prune quickstart --fresh'],
  ]);
  action<QuickstartOptions>(cli, command, async (context) => {
    const { options, progress } = context;
    const { prepareDevice } = await import('../device.js');
    const { quickstart, quickstartPreset: preset } = await import('../../workflows/quickstart.js');
    const { getNumThreads } = await import('@mamba-prune/libtorch');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = prepareDevice(options, onNote);
    const { bold, dim } = progress.colours;
    const minutes = `about ${preset.expectedMinutes} minutes on two cores`;
    progress.line(bold('A vision Mamba on Fashion-MNIST: train, prune, fine-tune, measure'));
    progress.line(dim(`  on ${device} with ${plural(getNumThreads(), 'thread')}, ${minutes}`));
    await interruptible(context, async (signal) => {
      const { ensureFashionMnist } = await import('../../data/fashion-mnist-get.js');
      return interruptedDownload(signal, shellCommand([...programWords(), ...context.argv]), () =>
        ensureFashionMnist({ signal, ...downloadHooks(context, 'fashion-mnist') }),
      );
    });
    progress.end();
    const { train, rate, finetune } = preset;
    const titles = {
      train: `1. Train ${train.arch}, ${plural(train.recipe.epochs, 'epoch')}`,
      prune: `2. Remove ${percent(rate, 0)} of the channels and neurons, fine-tune ${plural(finetune.epochs, 'epoch')}`,
      bench: '3. Measure dense and pruned in turn',
    };
    const own = { seed: options.seed, ...defined({ precision: options.precision }) };
    const report = await interruptible(context, (signal) =>
      quickstart(
        {
          out: options.out,
          fresh: options.fresh,
          device,
          signal,
          args: context.argv,
          data: { onNote },
        },
        {
          ...preset,
          train: { ...train, recipe: { ...train.recipe, ...own } },
          finetune: { ...finetune, ...own },
        },
        {
          onStep: (step, state) => {
            progress.line(`\n${bold(titles[step])}`);
            const note = stateNote(state);
            if (note !== undefined) progress.line(dim(`  ${note}`));
            if (step === 'bench') progress.begin('bench', 1, 'rounds');
          },
          train: new TrainingProgress(context, 'train').hooks(),
          finetune: new TrainingProgress(context, 'fine-tune').hooks(),
          onEvaluate: (what, done, total) => {
            if (!progress.busy) progress.begin(passLabel(what), total, 'batches');
            progress.update(done);
            if (done === total) progress.end();
          },
          onBench: (done, total) => {
            if (done === 1) progress.begin('bench', total, 'rounds');
            progress.update(done);
          },
        },
      ),
    );
    if (!report) {
      throw new InterruptedError(
        'Stopped; what was done so far is kept.',
        shellCommand([...programWords(), ...context.argv.filter((word) => word !== '--fresh')]),
      );
    }
    context.json({ device, threads: getNumThreads(), ...(await jsonOf(report)) });
    progress.line('');
    printReport(context, report, finetune.epochs);
  });
}

/** With the record as pruning.json and the JSON of `prune` have it. */
export async function jsonOf(report: QuickstartReport): Promise<object> {
  const { encodeRecord } = await import('../../workflows/prune/record.js');
  return { ...report, pruning: encodeRecord(report.pruning) };
}

function stateNote(state: RunState): string | undefined {
  return {
    new: undefined,
    finished: 'done before with the same settings: used as it is (--fresh does it again)',
    unfinished: 'begun before: going on from its last checkpoint',
    replaced: 'replacing the run that is there',
  }[state];
}

/** @param more - epochs that the pruned model was trained after the cut, and the dense one was not */
export function printReport(context: Context, report: QuickstartReport, more: number): void {
  const { models, bench, pruning, seconds } = report;
  const [dense, pruned] = models;
  const smaller = (a: number, b: number): string => `${times(a / b)} smaller`;
  const loss =
    dense.accuracy === null || pruned.accuracy === null
      ? ''
      : `${pointsText(pruned.accuracy - dense.accuracy)} points`;
  const rows: Cell[][] = [
    ['accuracy', percent(dense.accuracy), percent(pruned.accuracy), loss].map(strong),
    [
      'parameters',
      count(dense.parameters),
      count(pruned.parameters),
      smaller(dense.parameters, pruned.parameters),
    ],
    ['MACs per image', count(dense.macs), count(pruned.macs), smaller(dense.macs, pruned.macs)],
    [
      'file',
      bytes(dense.fileBytes),
      bytes(pruned.fileBytes),
      smaller(dense.fileBytes, pruned.fileBytes),
    ],
  ];
  const disagreeing: string[] = [];
  const undecided: string[] = [];
  for (const batch of new Set(bench.map((result) => result.batch))) {
    const of = (name: string): (typeof bench)[number] | undefined =>
      bench.find((result) => result.batch === batch && result.model === name);
    const [a, b] = [of('dense'), of('pruned')];
    if (!a || !b) continue;
    // Of the two times beside it: under noise the median of the rounds' ratios can be another, or say the contrary.
    const ratio = a.medianMs / b.medianMs;
    const { q1, q3 } = b.speedup;
    // On a busy machine it can be the slower one, and the quartiles are then those of how many times slower it was.
    const isSlower = ratio < 1;
    const [low, high] = isSlower ? [1 / q3, 1 / q1] : [q1, q3];
    // The middle half of the rounds has some in which the one was faster, and some in which the other was.
    const isUndecided = q1 <= 1 && q3 >= 1;
    if (isUndecided) undecided.push(grouped(batch));
    else if (ratio < q1 || ratio > q3) disagreeing.push(grouped(batch));
    rows.push([
      `latency, batch ${batch}`,
      milliseconds(a.medianMs),
      milliseconds(b.medianMs),
      isUndecided
        ? 'no difference shown'
        : isSlower
          ? `${times(1 / ratio)} slower`
          : { text: `${times(ratio)} faster`, style: 'green' },
    ]);
    rows.push([
      '  images/s',
      grouped(Math.round(a.imagesPerSecond)),
      grouped(Math.round(b.imagesPerSecond)),
      `(${times(low)} - ${times(high)})`,
    ]);
  }
  context.table(
    [
      { title: '' },
      { title: 'dense', align: 'right' },
      { title: 'pruned', align: 'right' },
      { title: 'change', align: 'right' },
    ],
    rows,
  );
  const { afterCut } = pruning.accuracy;
  context.print();
  context.paragraph(
    `Right after the cut, before fine-tuning, the accuracy was ${percent(afterCut)}.`,
  );
  if (more > 0) {
    context.paragraph(
      `The accuracies are not those of equal training: the pruned model was trained for ${plural(more, 'epoch')} more. ` +
        'The compare command below trains both alike.',
    );
  }
  context.paragraph(
    `Latencies: ratio of the medians shown (quartiles of the rounds). Time: ${clock(seconds)}.`,
  );
  if (undecided.length > 0) {
    context.paragraph(
      `At batch ${undecided.join(' and ')} the quartiles lie on both sides of 1x, so the rounds show no difference between the two ` +
        'models. Measure again when the machine is idle, with the bench command below.',
    );
  }
  if (disagreeing.length > 0) {
    context.paragraph(
      `At batch ${disagreeing.join(' and ')} the ratio lies outside the quartiles, as it does where the machine had other ` +
        'work meanwhile. Measure again when it is idle, with the bench command below.',
    );
  }
  context.print();
  context.title('Next');
  const runs = { dense: relativePath(dense.run), pruned: relativePath(pruned.run) };
  const lines = [
    `mamba-prune inspect ${runs.pruned}`,
    `mamba-prune eval ${runs.pruned} --per-class`,
    `mamba-prune bench ${runs.dense} ${runs.pruned}`,
    'mamba-prune compare --quick --out runs/compare',
    `mamba-prune prune ${runs.dense} --rate 0.9 --out runs/cut`,
    'mamba-prune train --help',
  ];
  for (const line of lines)
    context.print(`  ${context.colours.cyan(printableLine(asTyped(line)))}`);
}
