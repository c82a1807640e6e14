import type { Command } from 'commander';
import { UsageError } from '../../errors.js';
import type { CompareHooks } from '../../workflows/compare/compare.js';
import { printComparison } from '../compare-table.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { addCommonOptions } from '../options/common.js';
import {
  type CompareOptions,
  addComparisonOptions,
  addMethodOptions,
  compareDefaults,
  requestOf,
} from '../options/compare.js';
import { addDataOptions } from '../options/data.js';
import { addModelOptions } from '../options/model.js';
import { addRecipeOptions } from '../options/recipe.js';
import { shellCommand } from '../../shell.js';
import { modelLabel } from '../../models/model-label.js';
import { clock, percent, plural } from '../../format.js';
import { interruptible } from '../work.js';

export function addCompareCommand(program: Command, cli: Cli): void {
  const command = program
    .command('compare')
    .summary('compare one-shot, Refill and RSST at equal size and training')
    .description(
      'Trains a dense model for every seed, and from it each method: the dense model itself, one-shot ' +
        'pruning, Refill and RSST, all with the same number of further epochs, the pruned ones at the same ' +
        'size. The folder gets a table, every run, and, where @mamba-prune/report is installed, a picture of ' +
        'accuracy against MACs. The same command again goes on where it was stopped; more seeds and rates can ' +
        'be added.',
    );
  addComparisonOptions(command);
  addModelOptions(command, compareDefaults.arch);
  addDataOptions(command);
  addRecipeOptions(
    command,
    'Training (--epochs and --lr are those of the dense models only):',
    compareDefaults,
  );
  addMethodOptions(command);
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
  ]);
  action<CompareOptions>(cli, command, async (context) => {
    const { options } = context;
    if (options.out === undefined) {
      throw new UsageError(
        '--out is missing, expected the folder of the comparison, such as runs/c.',
      );
    }
    const { out } = options;
    const request = await requestOf(context);
    const { chooseDevice } = await import('../device.js');
    const { compare } = await import('../../workflows/compare/compare.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = chooseDevice(options.device, onNote);
    const { checkNewModel } = await import('../../workflows/check-need.js');
    checkNewModel(request.train, device);
    const comparison = await interruptible(context, (signal) =>
      compare(
        request,
        {
          out,
          device,
          signal,
          jobs: options.jobs,
          overwrite: options.overwrite,
          args: context.argv,
          data: { onNote },
        },
        progressOf(context),
      ),
    );
    if (!comparison.finished) {
      const { done, planned } = comparison.results;
      throw new InterruptedError(
        `Stopped; ${done} of ${planned} methods and seeds are done.`,
        shellCommand(['mamba-prune', ...context.argv.filter((word) => word !== '--overwrite')]),
      );
    }
    context.json({
      path: comparison.path,
      device,
      ...comparison.results,
      settings: comparison.settings,
    });
    context.progress.line('');
    printComparison(context, comparison);
  });
}

/** A bar over all epochs, and a line for every run. */
function progressOf(context: Context): CompareHooks {
  const { progress } = context;
  const { bold, dim } = progress.colours;
  const started = performance.now();
  let last = 0;
  return {
    onPlan: ({ settings, runs, jobs, threads, reason, finished, finishedEpochs }) => {
      const { train, targets, rates } = settings;
      const epochs = runs.reduce((sum, run) => sum + run.epochs, 0);
      progress.line(
        bold(`Compare methods: ${modelLabel(train.arch, train.model)} on ${train.dataset}`),
      );
      progress.line(
        dim(
          `  without ${rates.map((rate) => percent(rate, 0)).join(', ')} of ${targets.join(' and ')}`,
        ),
      );
      progress.line(
        dim(
          `  ${plural(runs.length, 'run')}, ${jobs} at once (${reason}) with ${plural(threads, 'thread')} each` +
            (finished > 0 ? `; ${finished} done before` : ''),
        ),
      );
      // What was done before took no time of this call.
      progress.begin('compare', epochs, 'epochs', finishedEpochs);
    },
    onProgress: (done, total) => {
      if (!progress.busy) progress.begin('compare', total, 'epochs', done);
      progress.update(done, { extra: last > 0 ? `${plural(last, 'run')} done` : undefined });
    },
    onRunEnd: ({ name }, accuracy) => {
      last++;
      const time = clock((performance.now() - started) / 1000);
      progress.line(`  ${name.padEnd(24)} ${percent(accuracy).padStart(8)} ${time.padStart(9)}`);
    },
    onNote: (note) => {
      context.note(note);
    },
  };
}
