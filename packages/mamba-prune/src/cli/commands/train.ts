import type { Command } from 'commander';
import { mambaArchitectures } from '../../models/config.js';
import { UsageError } from '../../errors.js';
import type { TrainSettings } from '../../workflows/settings.js';
import type { TrainRun } from '../../workflows/train-run.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import { type DataOptions, addDataOptions, describeDataset } from '../options/data.js';
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
import { relativePath, resumeCommand } from '../shell.js';
import { clock, count, percent, plural } from '../terminal/format.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';

interface ModelFlags {
  readonly arch?: string;
  readonly scan?: 'uni' | 'bi';
  readonly patch?: number;
  readonly dModel?: number;
  readonly depth?: number;
  readonly dState?: number;
  readonly imageSize?: number;
  readonly dropPath?: number;
}

type TrainCommandOptions = CommonOptions & DataOptions & ModelFlags & RecipeOptions & RunOptions;

const defaults = { epochs: 30, lr: 1e-3 };

export function addTrainCommand(program: Command, cli: Cli): void {
  const command = program
    .command('train')
    .summary('train a model')
    .description(
      'Trains a vision Mamba on images. The folder of the run gets config.json, metrics.jsonl, ' +
        'checkpoints and the finished model.safetensors. Ctrl-C stops with a checkpoint; --resume ' +
        'goes on as if nothing had happened.',
    );
  addModelOptions(command);
  addDataOptions(command);
  addRecipeOptions(command, 'Training:', defaults);
  addRunOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'A small model on the built-in images',
      'mamba-prune train --arch mamba_nano --dataset fashion-mnist --epochs 5 --out runs/a',
    ],
    [
      'CIFAR-10, with strong augmentation and averaged weights',
      'mamba-prune train --arch mamba_tiny --dataset cifar10 --data data \\\n' +
        '    --epochs 100 --augment strong --ema 0.999 --out runs/b',
    ],
    ['Go on after Ctrl-C', 'mamba-prune train --resume --out runs/b'],
  ]);
  action<TrainCommandOptions>(cli, command, async (context) => {
    const { options, progress } = context;
    const out = outOf(options);
    const settings = await settingsOf(context);
    const { prepareDevice } = await import('../device.js');
    const { trainRun } = await import('../../workflows/train-run.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = prepareDevice(options, onNote);
    const shown = new TrainingProgress(context, 'train');
    const run = await interruptible(context, (signal) =>
      trainRun(
        settings,
        {
          out,
          resume: options.resume,
          overwrite: options.overwrite,
          dataThreads: options.dataThreads,
          device,
          signal,
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
          progress.line(
            `  ${model.config.arch}, ${count(model.numParameters())} parameters, on ${device}`,
          );
          progress.line(`  ${describeDataset(dataset)}`);
        },
      ),
    );
    if (!run.result.finished) throw interrupted(run, resumeCommand('train', out, context.given));
    context.json({
      run: run.path,
      model: run.result.path,
      settings,
      device,
      parameters: run.model.numParameters(),
      ...run.result,
    });
    print(context, run);
  });
}

function addModelOptions(command: Command): void {
  command.optionsGroup('Model:');
  const names = Object.keys(mambaArchitectures);
  for (const option of [
    choiceOption('--arch <name>', 'architecture', names, 'mamba_tiny'),
    choiceOption('--scan <way>', 'one direction or both', ['uni', 'bi'], 'uni'),
    integerOption('--patch <px>', 'side of a patch (default: 4; 8 over 40 px, 16 over 128)', {
      min: 1,
    }),
    integerOption('--d-model <n>', 'width (default: as --arch)', { min: 1 }),
    integerOption('--depth <n>', 'blocks (default: as --arch)', { min: 1 }),
    integerOption('--d-state <n>', 'states per channel (default: as --arch)', { min: 1 }),
    integerOption('--image-size <px>', 'side of images from folders (default: 224)', { min: 1 }),
    numberOption('--drop-path <x>', 'chance that a sample skips a branch (default: 0)', {
      min: 0,
      below: 1,
    }),
  ]) {
    command.addOption(option);
  }
}

/** What was typed over what the run's config.json says, or over the defaults. */
async function settingsOf({
  options,
  given,
}: Context<TrainCommandOptions>): Promise<TrainSettings> {
  const { arch, scan, patch, dModel, depth, dState, imageSize, dropPath } = given;
  const model = defined({ scan, patchSize: patch, dModel, depth, dState, dropPath });
  const data = defined({ dataset: given.dataset, data: given.data, imageSize });
  if (options.resume !== undefined) {
    const { storedSettings } = await import('../../workflows/settings.js');
    const stored = storedSettings(outOf(options), 'train');
    return {
      ...stored,
      ...data,
      arch: arch ?? stored.arch,
      model: { ...stored.model, ...model },
      recipe: { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) },
    };
  }
  const { dataset } = given;
  if (dataset === undefined) {
    throw new UsageError('--dataset is missing, expected a name such as fashion-mnist or cifar10.');
  }
  return {
    ...data,
    dataset,
    arch: arch ?? 'mamba_tiny',
    model,
    recipe: recipeOf(given, options.seed, defaults, dataset),
  };
}

function interrupted({ result }: TrainRun, resume: string): InterruptedError {
  return new InterruptedError(
    `Stopped after ${result.steps} steps; the checkpoint is ${relativePath(result.path)}.`,
    resume,
  );
}

function print(context: Context, { result, path, model }: TrainRun): void {
  const { valAccuracy, best, seconds, epochs } = result;
  context.title(relativePath(path));
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
