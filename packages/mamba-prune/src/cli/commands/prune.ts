import { resolve } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../../errors.js';
import type { PruneRun } from '../../workflows/prune-run.js';
import type { PruneSettings } from '../../workflows/settings.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { modelPath } from '../model-argument.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type DataOptions, addDataOptions } from '../options/data.js';
import { choiceOption, integerOption, numberOption } from '../options/parse.js';
import {
  type RecipeOptions,
  type RunOptions,
  addRecipeOptions,
  addRunOptions,
  defined,
  outOf,
  recipeOf,
  typedRecipe,
} from '../options/recipe.js';
import { printCut, printPruned } from '../pruning-tables.js';
import { relativePath, resumeCommand } from '../shell.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';

interface CutFlags {
  readonly method?: 'oneshot';
  readonly target?: 'ssm' | 'mlp' | 'both';
  readonly rate?: number;
  readonly ssmRate?: number;
  readonly mlpRate?: number;
  readonly importance?: 'l1' | 'l2';
  readonly ranking?: 'global' | 'layerwise';
  readonly normalize?: 'mean' | 'none';
  readonly roundTo?: number;
  readonly maxRate?: number;
}

type PruneCommandOptions = CommonOptions & DataOptions & CutFlags & RecipeOptions & RunOptions;

const defaults = { epochs: 0, lr: 5e-4 };

export function addPruneCommand(program: Command, cli: Cli): void {
  const command = program
    .command('prune')
    .summary('remove channels and neurons, then fine-tune')
    .description(
      'Removes the least important channels of the SSMs and neurons of the MLPs: the result is a ' +
        'smaller model, not a masked one. With --epochs it is trained on afterwards. The folder of ' +
        'the run gets model.safetensors, config.json and pruning.json, which names the units kept.',
    )
    .argument('[MODEL|RUN]', 'a .safetensors file or the folder of a run; not needed to resume');
  addCutOptions(command);
  addDataOptions(command, 'with --epochs those of the model');
  addRecipeOptions(command, 'Fine-tuning:', defaults);
  addRunOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    ['Cut 70% of both away', 'mamba-prune prune runs/a --rate 0.7 --out runs/a-cut'],
    [
      'Cut, then recover accuracy',
      'mamba-prune prune runs/a --target both --ssm-rate 0.5 --mlp-rate 0.7 \\\n' +
        '    --dataset fashion-mnist --epochs 5 --out runs/a-pruned',
    ],
    ['Go on after Ctrl-C', 'mamba-prune prune --resume --out runs/a-pruned'],
  ]);
  action<PruneCommandOptions>(cli, command, async (context, argument?: string) => {
    const { options } = context;
    const out = outOf(options);
    const settings = await settingsOf(context, argument);
    const { prepareDevice } = await import('../device.js');
    const { pruneRun } = await import('../../workflows/prune-run.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = prepareDevice(options, onNote);
    const run = await interruptible(context, (signal) =>
      pruneRun(
        settings,
        {
          out,
          resume: options.resume,
          overwrite: options.overwrite,
          dataThreads: options.dataThreads,
          device,
          signal,
          args: context.argv,
          hooks: new TrainingProgress(context, 'fine-tune').hooks(),
          data: { onNote },
        },
        cutProgress(context),
      ),
    );
    if (!run.finished) throw interrupted(run, resumeCommand('prune', out, context.given));
    context.json({
      run: run.path,
      model: resolve(run.path, 'model.safetensors'),
      settings,
      device,
      ...run.record,
      training: run.result ?? null,
    });
    context.title(relativePath(run.path));
    printPruned(context, run.record);
    context.print();
    printCut(context, run.record);
  });
}

function addCutOptions(command: Command): void {
  command.optionsGroup('Pruning:');
  const rate = { min: 0, below: 1 };
  for (const option of [
    choiceOption('--method <name>', 'how', ['oneshot'], 'oneshot'),
    choiceOption('--target <kind>', 'what to cut', ['ssm', 'mlp', 'both'], 'both'),
    numberOption('--rate <x>', 'share to remove (default: 0.7)', rate),
    numberOption('--ssm-rate <x>', 'share of the SSM channels (default: --rate)', rate),
    numberOption('--mlp-rate <x>', 'share of the MLP neurons (default: --rate)', rate),
    choiceOption('--importance <norm>', 'of a unit', ['l1', 'l2'], 'l1'),
    choiceOption('--ranking <scope>', 'of units', ['global', 'layerwise'], 'global'),
    choiceOption('--normalize <how>', 'scores of a group', ['mean', 'none'], 'mean'),
    integerOption('--round-to <n>', 'round widths up to a multiple (default: 1)', { min: 1 }),
    numberOption('--max-rate <x>', 'most that one group may lose (default: 1)', {
      above: 0,
      max: 1,
    }),
  ]) {
    command.addOption(option);
  }
}

async function settingsOf(
  { options, given }: Context<PruneCommandOptions>,
  argument: string | undefined,
): Promise<PruneSettings> {
  const model = argument === undefined ? undefined : resolve(modelPath(argument));
  const { importance, ranking, normalize, roundTo, maxRate, dataset, data } = given;
  const typed = defined({ model, importance, ranking, normalize, roundTo, maxRate, dataset, data });
  if (options.resume !== undefined) {
    const { storedSettings } = await import('../../workflows/settings.js');
    const stored = storedSettings(outOf(options), 'prune');
    return {
      ...stored,
      ...typed,
      rates: hasRates(given) ? ratesOf(given) : stored.rates,
      recipe: { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) },
    };
  }
  if (model === undefined) {
    throw new UsageError("the argument 'MODEL|RUN' is missing, expected what to prune.");
  }
  const rates = ratesOf(given);
  const tuned = (given.epochs ?? 0) > 0;
  const name = dataset ?? (tuned ? await trainedOn(model) : undefined);
  return {
    method: 'oneshot',
    importance: 'l1',
    ranking: 'global',
    normalize: 'mean',
    roundTo: 1,
    maxRate: 1,
    ...typed,
    ...(name !== undefined && { dataset: name }),
    model,
    rates,
    recipe: recipeOf(given, options.seed, defaults, name ?? ''),
  };
}

function hasRates(flags: CutFlags): boolean {
  const { target, rate, ssmRate, mlpRate } = flags;
  return [target, rate, ssmRate, mlpRate].some((value) => value !== undefined);
}

function ratesOf({ target = 'both', rate = 0.7, ssmRate, mlpRate }: CutFlags): {
  ssm?: number;
  mlp?: number;
} {
  if (target === 'ssm' && mlpRate !== undefined) throw needless('--mlp-rate', 'mlp');
  if (target === 'mlp' && ssmRate !== undefined) throw needless('--ssm-rate', 'ssm');
  return {
    ...(target !== 'mlp' && { ssm: ssmRate ?? rate }),
    ...(target !== 'ssm' && { mlp: mlpRate ?? rate }),
  };
}

function needless(flag: string, target: string): UsageError {
  return new UsageError(
    `got ${flag}, but --target leaves the ${target} groups alone. Use --target both or ${target}.`,
  );
}

async function trainedOn(path: string): Promise<string | undefined> {
  const { loadModel } = await import('../../models/model-file.js');
  const { model, info } = loadModel(path);
  model.dispose();
  return info.dataset;
}

function cutProgress({ progress }: Context): {
  onEvaluate: (what: string, done: number, total: number) => void;
  onCut: () => void;
} {
  let last = '';
  return {
    onEvaluate: (what, done, total) => {
      if (what !== last) progress.begin(`accuracy ${what}`, total, 'batches');
      last = what;
      progress.update(done);
    },
    onCut: () => {
      progress.end();
    },
  };
}

function interrupted({ result }: PruneRun, resume: string): InterruptedError {
  return new InterruptedError(
    result
      ? `Stopped after ${result.steps} steps; the checkpoint is ${relativePath(result.path)}.`
      : 'Stopped before the fine-tuning.',
    resume,
  );
}
