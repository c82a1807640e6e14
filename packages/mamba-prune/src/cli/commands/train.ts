import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { clock, count, percent, plural } from '../../format.js';
import { trainLimits } from '../../limits.js';
import { relativePath, resumeCommand } from '../../shell.js';
import { presetInterpolation } from '../../training/presets.js';
import type { TrainSettings } from '../../workflows/settings.js';
import type { TrainRun } from '../../workflows/train-run.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { inFlags } from '../flag-spelling.js';
import { findModel } from '../model-argument.js';
import type { ModelFacts } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import {
  type DataOptions,
  type CacheOptions,
  type PreparationOptions,
  addCacheOption,
  addDataOptions,
  addPreparationOptions,
  describeDataset,
} from '../options/data.js';
import { classifierOption, weightsOption } from '../options/import.js';
import {
  type ModelFlags,
  addModelOptions,
  newModelOptions,
  typedModelOptions,
} from '../options/model.js';
import { integersOption } from '../options/parse.js';
import {
  type RecipeOptions,
  addRecipeOptions,
  checkMomentum,
  recipeOf,
  refuseOtherPreset,
  typedRecipe,
} from '../options/recipe.js';
import { type RunOptions, addRunOptions, checkNew, outOf } from '../options/run.js';
import { columnsOf } from '../terminal/io.js';
import { wrapText } from '../terminal/text.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';
import {
  type WorkerOptions,
  type Workers,
  addWorkerOptions,
  agreed,
  withWorkers,
} from '../workers.js';

interface FromFlags {
  readonly from?: string;
  readonly widthsFrom?: string;
  readonly weights?: string;
  readonly classifier?: string;
  readonly resamplePositions?: true;
}

interface KeepFlags {
  readonly keepEpochs?: readonly number[];
}

type TrainCommandOptions = CommonOptions &
  DataOptions &
  PreparationOptions &
  CacheOptions &
  ModelFlags &
  RecipeOptions &
  RunOptions &
  WorkerOptions &
  KeepFlags &
  FromFlags;

const defaults = { epochs: 30, lr: 1e-3, phase: 'train' } as const;
const defaultArch = 'mamba_tiny';

export function addTrainCommand(program: Command, cli: Cli): void {
  const command = program
    .command('train')
    .summary('train a model')
    .description(
      'Trains a vision Mamba, Vim, VMamba, ViT or ResNet on images. The folder of the run gets config.json, ' +
        'metrics.jsonl, checkpoints and the finished model.safetensors. Ctrl-C stops with a checkpoint; --resume ' +
        'goes on as if nothing had happened.',
    );
  addModelOptions(command, defaultArch);
  command.optionsGroup('Weights to begin with:');
  command.option(
    '--from <model>',
    'model to begin with: a file of this program or of PyTorch, a run, hf:owner/name, pretrained:NAME or models:NAME; architecture and ' +
      'sizes are then its own, and so is the preparation of images of folders, while image size, classes, mean and deviation are those of the data',
  );
  command.option(
    '--widths-from <model>',
    'begin with random weights in the architecture, sizes and widths of this model, such as a pruned one, named as for --from',
  );
  command.addOption(weightsOption());
  command.addOption(classifierOption());
  command.addOption(
    new Option(
      '--resample-positions',
      'resample the positions of the weights for the size of the images',
    ),
  );
  addDataOptions(command);
  addPreparationOptions(command, '--from');
  addCacheOption(command);
  addRecipeOptions(command, 'Training:', defaults);
  addRunOptions(command);
  command.addOption(
    integersOption(
      '--keep-epochs <e,e,...>',
      'keep the weights of these epochs, for prune --rewind epoch:E',
      {
        min: 1,
        max: trainLimits.epochs,
      },
    ),
  );
  addWorkerOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'A small model on Fashion-MNIST',
      'mamba-prune train --arch mamba_nano --dataset fashion-mnist \\\n' +
        '    --epochs 5 --out runs/a',
    ],
    [
      'CIFAR-10, with a long recipe that augments strongly and averages the weights',
      'mamba-prune train --arch mamba_tiny --dataset cifar10 --data data \\\n' +
        '    --preset best --out runs/b',
    ],
    [
      "Fine-tune weights from the Hugging Face Hub, in timm's layout",
      'mamba-prune train --from hf:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k \\\n' +
        '    --dataset folder --data photos --epochs 10 --lr 1e-4 --out runs/c',
    ],
    [
      'From random weights in the widths of a pruned model: what its weights are worth',
      'mamba-prune train --widths-from models:cifar10/mamba_small-90 \\\n' +
        '    --dataset cifar10 --data data --preset best --out runs/e',
    ],
    ['Go on after Ctrl-C', 'mamba-prune train --resume --out runs/b'],
    [
      'On two GPUs of this machine; torchrun and srun work as well',
      'mamba-prune train --arch mamba_small --dataset cifar10 --data data \\\n' +
        '    --workers 2 --batch-size 256 --out runs/d',
    ],
  ]);
  action<TrainCommandOptions>(cli, command, (context) =>
    withWorkers(context, (workers) => trainCommand(workers?.context ?? context, workers)),
  );
}

async function trainCommand(
  context: Context<TrainCommandOptions>,
  workers: Workers<TrainCommandOptions> | undefined,
): Promise<void> {
  const { options, progress } = context;
  const out = outOf(options);
  const { settings, notes } = await agreed(workers, () => settingsOf(context));
  const { prepareDevice } = await import('../device.js');
  const { trainRun } = await import('../../workflows/train-run.js');
  const onNote = (note: string): void => {
    context.note(note);
  };
  const device = prepareDevice(options, onNote);
  const { precisionOn } = await import('../../models/precision.js');
  const precision = precisionOn(device, settings.recipe.precision);
  const shown = new TrainingProgress(context, 'train');
  const run = await interruptible(context, (signal) =>
    trainRun(
      settings,
      {
        out,
        resume: options.resume,
        restart: options.restart,
        overwrite: options.overwrite,
        dataThreads: options.dataThreads,
        tensorboard: options.tensorboard,
        autoBatch: options.autoBatch,
        device,
        signal,
        group: workers?.group,
        args: context.argv,
        hooks: shown.hooks(),
        data: {
          onNote,
          onProgress: (done, total) => {
            if (!progress.busy) progress.begin('check files', total, 'files');
            progress.update(done);
            if (done === total) progress.end();
          },
        },
      },
      (model, dataset) => {
        const shared = workers ? `, ${workers.group.workers} workers` : '';
        progress.line(
          `  ${model.config.arch}, ${count(model.numParameters())} parameters, on ${device} in ${precision}${shared}`,
        );
        progress.line(
          wrapText(describeDataset(dataset, settings.recipe), columnsOf(context.io.stderr)),
        );
      },
    ),
  );
  if (!run.result.finished) throw interrupted(run, resumeCommand('train', out, context.given));
  context.json({
    run: run.path,
    model: run.result.path,
    settings: run.settings,
    from: await factsOf(
      run,
      notes.map((note) => inFlags(note, context.flags)),
    ),
    device,
    precision,
    ...(workers && { workers: workers.group.workers }),
    parameters: run.model.numParameters(),
    ...run.result,
  });
  printTrained(context, run);
}

/** Of the weights that the run began with, if it did with any. */
async function factsOf(
  { settings, info }: TrainRun,
  notes: readonly string[],
): Promise<ModelFacts | null> {
  if (settings.init === undefined) return null;
  const { assumedIn } = await import('../../workflows/same-info.js');
  return { model: settings.init, assumed: assumedIn(info), notes };
}

/** What was typed over what the run's config.json says, or over the defaults. */
async function settingsOf(
  context: Context<TrainCommandOptions>,
): Promise<{ readonly settings: TrainSettings; readonly notes: readonly string[] }> {
  const { options, given } = context;
  const { arch, imageSize, keepEpochs, preset, from, widthsFrom } = given;
  const { weights, classifier, resamplePositions } = given;
  const { interpolation, cropShare, cachedSize } = given;
  const model = typedModelOptions(given);
  const data = defined({
    dataset: given.dataset,
    data: given.data,
    imageSize,
    interpolation,
    cropShare,
    cachedSize,
  });
  if (options.resume !== undefined) {
    const { storedSettings } = await import('../../workflows/settings.js');
    const stored = storedSettings(outOf(options), 'train');
    if (from !== undefined) {
      throw new UsageError(
        '--from: got a model to begin with, but the run has begun. Leave it out.',
      );
    }
    if (widthsFrom !== undefined) {
      throw new UsageError(
        '--widths-from: got a model to take the widths of, but the run has begun. Leave it out.',
      );
    }
    refuseAboutFile(given, 'the run has begun');
    refuseOtherPreset(preset, stored.preset);
    const recipe = { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) };
    checkMomentum(given, recipe);
    const settings = {
      ...stored,
      ...data,
      ...defined({ keepEpochs }),
      arch: arch ?? stored.arch,
      model: { ...stored.model, ...model },
      recipe,
    };
    return { settings, notes: [] };
  }
  await checkNew(options);
  const { dataset } = given;
  if (dataset === undefined) {
    throw new UsageError('--dataset is missing, expected a name such as fashion-mnist or cifar10.');
  }
  const usual = preset === undefined ? undefined : presetInterpolation(preset, dataset);
  const rest = {
    ...defined({ interpolation: usual }),
    ...data,
    dataset,
    recipe: recipeOf(given, options.seed, defaults, dataset),
    ...defined({ keepEpochs, preset }),
  };
  if (widthsFrom !== undefined) {
    return { settings: { ...rest, ...(await freshOf(context, widthsFrom)) }, notes: [] };
  }
  if (from === undefined) {
    refuseAboutFile(given, 'there is no --from');
    const chosen = arch ?? defaultArch;
    const settings = { ...rest, arch: chosen, model: newModelOptions(given, dataset, chosen) };
    return { settings, notes: [] };
  }
  const init = resolve(await findModel(context, from, { flag: '--from' }));
  const { startingWeights } = await import('../../workflows/starting-weights.js');
  // Dropout is of the training, not of the file.
  const sizes = { ...model, dropPath: undefined };
  const found = await startingWeights(
    init,
    defined({ arch, key: weights, classifier, resamplePositions, ...sizes }),
  );
  // Weights to begin with bring their own sizes.
  const settings = { ...rest, init, arch: found.arch, import: found.import, model };
  return { settings, notes: found.notes };
}

/** A model with random weights that is made like another one. */
async function freshOf(
  context: Context<TrainCommandOptions>,
  argument: string,
): Promise<Pick<TrainSettings, 'arch' | 'model' | 'widths'>> {
  const { given } = context;
  if (given.from !== undefined) {
    throw new UsageError(
      'got --from with --widths-from, expected one of the two: weights have their own widths. Leave one of them out.',
    );
  }
  refuseAboutFile(given, 'the weights are random with --widths-from');
  const { dropPath, ...sizes } = typedModelOptions(given);
  const typed = given.arch === undefined ? Object.keys(sizes) : ['arch', ...Object.keys(sizes)];
  if (typed.length > 0) {
    const flags = typed.map((name) => inFlags(`\`${name}\``, context.flags)).join(', ');
    throw new UsageError(
      `got ${flags} with --widths-from, whose model has its own architecture and sizes. Leave one of the two out.`,
    );
  }
  const path = resolve(await findModel(context, argument, { flag: '--widths-from' }));
  const { openModelFile } = await import('../../workflows/open-model-file.js');
  const { freshSettings } = await import('../../workflows/fresh-settings.js');
  const { model } = await openModelFile(path);
  try {
    const fresh = freshSettings(model, argument);
    return { ...fresh, model: { ...fresh.model, ...defined({ dropPath }) } };
  } finally {
    model.dispose();
  }
}

/** @throws UsageError if there is no file that it is about */
function refuseAboutFile(given: FromFlags, why: string): void {
  const { resamplePositions } = given;
  if (resamplePositions !== undefined) {
    throw new UsageError(`--resample-positions: ${why}, of which it could be. Leave it out.`);
  }
  const about = (['weights', 'classifier'] as const).find((name) => given[name] !== undefined);
  if (about === undefined) return;
  throw new UsageError(`--${about}: got '${given[about]}', but ${why}. Leave it out.`);
}

function interrupted({ result }: TrainRun, resume: string): InterruptedError {
  return new InterruptedError(
    `Stopped after ${plural(result.steps, 'step')}; the checkpoint is ${relativePath(result.path)}.`,
    resume,
  );
}

export function printTrained(context: Context, { result, path, model }: TrainRun): void {
  const { valAccuracy, best, seconds, epochs } = result;
  context.pathTitle(path);
  context.facts([
    ['test accuracy', { text: percent(valAccuracy), style: 'bold' }],
    ...(best === undefined
      ? []
      : [['best', `${percent(best.accuracy)} after epoch ${best.epoch}`] as const]),
    ['parameters', count(model.numParameters())],
    ['time', `${clock(seconds)} for ${plural(epochs, 'epoch')}`],
    ['model', relativePath(result.path)],
  ]);
}
