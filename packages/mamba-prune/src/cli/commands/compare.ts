import { programWords } from '../../called-as.js';
import { dataLabel } from '../../data/data-label.js';
import type { Command } from 'commander';
import { UsageError } from '../../errors.js';
import type {
  CompareControl,
  CompareHooks,
  CompareRequest,
} from '../../workflows/compare/compare.js';
import { doneText, rateText, runsText } from '../../workflows/compare/describe.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { addCommonOptions } from '../options/common.js';
import {
  type CompareOptions,
  addComparisonOptions,
  addMethodOptions,
  compareDefaults,
} from '../options/compare.js';
import type { CompareSettings } from '../../workflows/compare/settings.js';
import { addPartOptions, checkParts, tuneOf } from '../options/compare-parts.js';
import { compareLeftOut } from '../options/compare-left-out.js';
import { requestOf } from '../options/compare-request.js';
import { addCacheOption, addDataOptions, addPreparationOptions } from '../options/data.js';
import { leaveOut } from '../options/left-out.js';
import { addModelOptions } from '../options/model.js';
import { addRecipeOptions } from '../options/recipe.js';
import { shellCommand } from '../../shell.js';
import { modelLabel } from '../../models/model-label.js';
import { clock, percent, plural } from '../../format.js';
import { sayingWhere } from '../said-elsewhere.js';
import { columnsOf } from '../terminal/io.js';
import { wrapText } from '../terminal/text.js';
import { interruptible } from '../work.js';

export function addCompareCommand(program: Command, cli: Cli): void {
  const command = program
    .command('compare')
    .summary('compare one-shot, Refill and RSST at equal size and training')
    .description(
      'Trains a dense model for every seed, and from it each method: the dense model itself, one-shot ' +
        'pruning, Refill and RSST, all with the same number of further epochs, the pruned ones at the same ' +
        'size; and, where --methods has scratch, a fresh model of that size for all these epochs. The folder ' +
        'gets a table, every run, and, where @mamba-prune/report is installed, a picture of ' +
        'accuracy against MACs. The same command again goes on where it was stopped; more seeds, rates and ' +
        'methods can be added.',
    );
  addComparisonOptions(command);
  addModelOptions(command, compareDefaults.arch);
  addDataOptions(command);
  addPreparationOptions(command, '--dense');
  addCacheOption(command);
  addRecipeOptions(
    command,
    'Training (--epochs and --lr are those of the dense models only):',
    compareDefaults,
  );
  addMethodOptions(command);
  addPartOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'The model of the quickstart, in about 20 minutes',
      'mamba-prune compare --quick --out runs/compare',
    ],
    [
      'Three rates and five seeds on CIFAR-10',
      'mamba-prune compare --arch mamba_tiny --dataset cifar10 --data data \\\n' +
        '    --rate 0.5,0.7,0.9 --seeds 5 --epochs 60 --finetune-epochs 30 --out runs/c',
    ],
    [
      "Half of a trained model's MACs, its first block left whole",
      'mamba-prune compare --dense runs/a --dataset cifar10 --data data \\\n' +
        "    --target-macs 0.5x --exclude 'blocks.0.*' --out runs/c",
    ],
    [
      'A learning rate for every method first: the same command with',
      'mamba-prune compare ... --tune-lr 5e-4,1e-3,2e-3 --tune-rate 0.9 \\\n' + '    --out runs/c',
    ],
    [
      'What other machines did of the same comparison, without their models',
      'mamba-prune compare --collect from-a from-b --out runs/c',
    ],
  ]);
  leaveOut(command, compareLeftOut());
  action<CompareOptions>(cli, command, async (context) => {
    const { options } = context;
    if (options.out === undefined) {
      throw new UsageError(
        '--out is missing, expected the folder of the comparison, such as runs/c.',
      );
    }
    const { out } = options;
    checkParts(context.given);
    if (options.collect !== undefined) {
      await collect(context, out, options.collect === true ? [] : options.collect);
      return;
    }
    const request = await asked(context, out);
    const { chooseDevice } = await import('../device.js');
    const { compare } = await import('../../workflows/compare/compare.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = chooseDevice(options.device, onNote);
    const { checkNewModel } = await import('../../workflows/check-need.js');
    const { printComparison } = await import('../compare-table.js');
    if (!request.dense) checkNewModel(request.train, device);
    const { jobs, dataThreads, tensorboard, overwrite, only, tuneLr } = options;
    const { argv: args } = context;
    const work = { device, jobs, dataThreads, tensorboard };
    const control = { out, ...work, overwrite, only, args, data: { onNote } };
    if (tuneLr) {
      await tune(context, request, control);
      return;
    }
    const comparison = await interruptible(context, (signal) =>
      compare(request, { ...control, signal }, progressOf(context)),
    ).catch(sayingWhere('--dense'));
    if (!comparison.finished) {
      throw interrupted(context, `${doneText(comparison.results)}.`);
    }
    context.json({
      path: comparison.path,
      device,
      finished: comparison.finished,
      ...comparison.results,
      settings: comparison.settings,
    });
    context.progress.line('');
    printComparison(context, comparison);
  });
}

/** What was typed, or what the folder says. With the files of models that are named otherwise. */
async function asked(context: Context<CompareOptions>, out: string): Promise<CompareRequest> {
  const { given } = context;
  // What is wrong with the flags is said before files are looked for.
  const typed = given.resume === undefined ? await requestOf(context) : undefined;
  const { findModel } = await import('../model-argument.js');
  const dense: string[] = [];
  for (const model of given.dense ?? [])
    dense.push(await findModel(context, model, { flag: '--dense' }));
  const found = given.dense && { dense };
  if (typed) return { ...typed, ...found };
  const { requestOfFolder } = await import('../../workflows/compare/request.js');
  return requestOfFolder(out, { data: given.data, ...found });
}

async function collect(
  context: Context<CompareOptions>,
  out: string,
  from: readonly string[],
): Promise<void> {
  const { collectRuns } = await import('../../workflows/compare/collect.js');
  const { printComparison } = await import('../compare-table.js');
  const collected = await collectRuns(
    { out, from, args: context.argv },
    {
      onRun: ({ name }, folder) => {
        context.progress.line(`  ${name.padEnd(24)} from ${folder}`);
      },
      onNote: (note) => {
        context.note(note);
      },
    },
  );
  const { path, taken, finished, results, settings } = collected;
  context.json({ path, taken, finished, ...results, settings });
  printComparison(context, collected);
}

async function tune(
  context: Context<CompareOptions>,
  request: CompareRequest,
  control: CompareControl,
): Promise<void> {
  const { tuneRates } = await import('../../workflows/compare/tune.js');
  const { printTuning } = await import('../compare-table.js');
  const wanted = tuneOf(context.given, request);
  const tuning = await interruptible(context, (signal) =>
    tuneRates(request, wanted, { ...control, signal }, progressOf(context)),
  );
  const { finished, results, settings, path } = tuning;
  if (!finished) throw interrupted(context, `${results.runs.length} trainings are done.`);
  context.json({ path, device: control.device, finished, ...results, settings });
  context.progress.line('');
  printTuning(context, tuning);
}

const interrupted = ({ argv }: Context, done: string): InterruptedError =>
  new InterruptedError(
    `Stopped; ${done}`,
    shellCommand([...programWords(), ...argv.filter((word) => word !== '--overwrite')]),
  );

/** The sizes in one line: what they are cut from stands once. */
function withoutText(settings: CompareSettings): string {
  const { rates, targets } = settings;
  const kinds = targets.join(' and ');
  const sizes = rates.map((rate) => rateText(rate, settings)).join('; ');
  return settings.budget === undefined
    ? `${sizes.replaceAll(';', ',')} of ${kinds}`
    : `${sizes} (from ${kinds})`;
}

/** A bar over all epochs, and a line for every run. */
function progressOf(context: Context): CompareHooks {
  const { io, progress } = context;
  const { bold, dim } = progress.colours;
  const started = performance.now();
  let last = 0;
  let width = 0;
  return {
    onPlan: ({ settings, runs, jobs, threads, reason, finished, finishedEpochs }) => {
      const { train } = settings;
      const epochs = runs.reduce((sum, run) => sum + run.epochs, 0);
      progress.line(
        bold(`Compare methods: ${modelLabel(train.arch, train.model)} on ${dataLabel(train)}`),
      );
      progress.line(dim(wrapText(`without ${withoutText(settings)}`, columnsOf(io.stderr))));
      progress.line(
        dim(
          wrapText(
            `${runsText(runs)}; ${jobs} at once (${reason}) with ${plural(threads, 'thread')} each` +
              (finished > 0 ? `; ${finished} of these ${runs.length} done before` : ''),
            columnsOf(io.stderr),
          ),
        ),
      );
      width = Math.max(24, ...runs.map(({ name }) => name.length));
      // What was done before took no time of this call.
      progress.begin('compare', epochs, 'epochs', finishedEpochs);
    },
    onProgress: (done, total) => {
      if (!progress.busy) progress.begin('compare', total, 'epochs', done);
      progress.update(done, { extra: last > 0 ? `${plural(last, 'run')} done` : undefined });
    },
    onRunEnd: ({ name, method }, accuracy) => {
      if (method !== undefined) last++;
      const time = clock((performance.now() - started) / 1000);
      progress.line(`  ${name.padEnd(width)} ${percent(accuracy).padStart(8)} ${time.padStart(9)}`);
    },
    onNote: (note) => {
      context.note(note);
    },
  };
}
