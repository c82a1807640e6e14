import { resolve } from 'node:path';
import type { Command } from 'commander';
import { trainLimits } from '../../limits.js';
import { UsageError } from '../../errors.js';
import type { TrainSettings } from '../../workflows/settings.js';
import type { TrainRun } from '../../workflows/train-run.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import {
  type DataOptions,
  type PreparationOptions,
  addDataOptions,
  addPreparationOptions,
  describeDataset,
} from '../options/data.js';
import {
  type ModelFlags,
  addModelOptions,
  newModelOptions,
  typedModelOptions,
} from '../options/model.js';
import { integersOption } from '../options/parse.js';
import {
  type RecipeOptions,
  type RunOptions,
  addRecipeOptions,
  addRunOptions,
  checkNew,
  defined,
  outOf,
  recipeOf,
  typedRecipe,
} from '../options/recipe.js';
import { relativePath, resumeCommand } from '../shell.js';
import { clock, count, percent, plural } from '../terminal/format.js';
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
}

interface KeepFlags {
  readonly keepEpochs?: readonly number[];
}

type TrainCommandOptions = CommonOptions &
  DataOptions &
  PreparationOptions &
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
      'Trains a vision Mamba, ViT or ResNet on images. The folder of the run gets config.json, ' +
        'metrics.jsonl, checkpoints and the finished model.safetensors. Ctrl-C stops with a checkpoint; --resume ' +
        'goes on as if nothing had happened.',
    );
  addModelOptions(command, defaultArch);
  command.option(
    '--from <model>',
    'begin with the weights of a file, a run or hf:owner/name (then --arch as there)',
  );
  addDataOptions(command);
  addPreparationOptions(command);
  addRecipeOptions(command, 'Training:', defaults);
  addRunOptions(command);
  command.addOption(
    integersOption('--keep-epochs <e,e,...>', 'keep their weights, for prune --rewind epoch:E', {
      min: 1,
      max: trainLimits.epochs,
    }),
  );
  addWorkerOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'A small model on the built-in images',
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
  const settings = await agreed(workers, () => settingsOf(context));
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
        const where = workers ? `${device}, ${workers.group.size} workers` : device;
        progress.line(
          `  ${model.config.arch}, ${count(model.numParameters())} parameters, on ${where} in ${precision}`,
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
    device,
    precision,
    ...(workers && { workers: workers.group.size }),
    parameters: run.model.numParameters(),
    ...run.result,
  });
  printTrained(context, run);
}

/** What was typed over what the run's config.json says, or over the defaults. */
async function settingsOf(context: Context<TrainCommandOptions>): Promise<TrainSettings> {
  const { options, given } = context;
  const { arch, imageSize, keepEpochs, preset, from, interpolation, cropShare } = given;
  const model = typedModelOptions(given);
  const data = defined({
    ...{ dataset: given.dataset, data: given.data },
    ...{ imageSize, interpolation, cropShare },
  });
  if (options.resume !== undefined) {
    const { storedSettings } = await import('../../workflows/settings.js');
    const stored = storedSettings(outOf(options), 'train');
    if (from !== undefined) {
      throw new UsageError(
        '--from: got a model to begin with, but the run has begun. Leave it out.',
      );
    }
    return {
      ...stored,
      ...data,
      ...defined({ keepEpochs, preset }),
      arch: arch ?? stored.arch,
      model: { ...stored.model, ...model },
      recipe: { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) },
    };
  }
  await checkNew(options);
  const { dataset } = given;
  if (dataset === undefined) {
    throw new UsageError('--dataset is missing, expected a name such as fashion-mnist or cifar10.');
  }
  const init = from === undefined ? undefined : resolve(await findModel(context, from));
  const chosen = arch ?? (init === undefined ? defaultArch : await archOf(init));
  return {
    ...data,
    dataset,
    arch: chosen,
    // Weights to begin with bring their own.
    model: init === undefined ? newModelOptions(given, dataset, chosen) : model,
    recipe: recipeOf(given, options.seed, defaults, dataset),
    ...defined({ keepEpochs, preset, init }),
  };
}

async function archOf(path: string): Promise<string> {
  const { archOfWeights } = await import('../../workflows/starting-weights.js');
  return archOfWeights(path);
}

function interrupted({ result }: TrainRun, resume: string): InterruptedError {
  return new InterruptedError(
    `Stopped after ${result.steps} steps; the checkpoint is ${relativePath(result.path)}.`,
    resume,
  );
}

export function printTrained(context: Context, { result, path, model }: TrainRun): void {
  const { valAccuracy, best, seconds, epochs } = result;
  context.pathTitle(path);
  context.facts([
    ['test accuracy', context.colours.bold(percent(valAccuracy))],
    ...(best === undefined
      ? []
      : [['best', `${percent(best.accuracy)} after epoch ${best.epoch}`] as const]),
    ['parameters', count(model.numParameters())],
    ['time', `${clock(seconds)} for ${plural(epochs, 'epoch')}`],
    ['model', relativePath(result.path)],
  ]);
}
