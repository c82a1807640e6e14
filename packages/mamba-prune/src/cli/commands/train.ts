import type { Command } from 'commander';
import { clock, count, percent, plural } from '../../format.js';
import { trainLimits } from '../../limits.js';
import { releasing } from '../../releasing.js';
import { relativePath, resumeCommand } from '../../shell.js';
import { shownFile } from '../../hub/shown-file.js';
import type { TeacherSettings } from '../../workflows/teacher.js';
import type { TrainRun } from '../../workflows/train-run.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { inFlags } from '../flag-spelling.js';
import type { ModelFacts } from '../open-model.js';
import { addCommonOptions } from '../options/common.js';
import {
  addCacheOption,
  addDataOptions,
  addPreparationOptions,
  describeDataset,
} from '../options/data.js';
import { weightsOptions } from '../options/import.js';
import { leaveOut } from '../options/left-out.js';
import { addModelOptions } from '../options/model.js';
import { addOptions, integersOption } from '../options/parse.js';
import { addRecipeOptions, recipeFromOption } from '../options/recipe.js';
import { addRunOptions, outOf } from '../options/run.js';
import {
  type TrainCommandOptions,
  addTrainTeacherOptions,
  defaultArch,
  trainDefaults,
  trainSettingsOf,
} from '../options/train.js';
import { sayingWhere } from '../said-elsewhere.js';
import { columnsOf } from '../terminal/io.js';
import { wrapText } from '../terminal/text.js';
import { TrainingProgress } from '../training-progress.js';
import { interruptible } from '../work.js';
import { type Workers, addWorkerOptions, agreed, withWorkers } from '../workers.js';

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
  addOptions(command, weightsOptions());
  addDataOptions(command);
  addPreparationOptions(command, '--from');
  addCacheOption(command);
  addRecipeOptions(command, 'Training:', trainDefaults);
  command.addOption(recipeFromOption());
  addTrainTeacherOptions(command);
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
  const ofTheData =
    'a training shows the model images that are normalised as the data set says, with --from too. Leave it out.';
  leaveOut(command, { '--mean': ofTheData, '--std': ofTheData });
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
      'mamba-prune train --dataset folder --data photos --epochs 10 --lr 1e-4 \\\n' +
        '    --from hf:timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k --out runs/c',
    ],
    [
      'Random weights in the widths of a pruned model',
      'mamba-prune train --widths-from models:cifar10/mamba_small-90 \\\n' +
        '    --dataset cifar10 --data data --preset best --out runs/e',
    ],
    [
      'A pruned model, trained on with the dense one as its only teacher',
      'mamba-prune train --from runs/pruned --teacher runs/dense --distill 1 \\\n' +
        '    --temperature 2 --dataset cifar10 --data data --epochs 90 --out runs/f',
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
  const { settings, notes } = await agreed(workers, () => trainSettingsOf(context));
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
        const { distill } = settings;
        if (distill) {
          progress.line(wrapText(describeTeacher(distill), columnsOf(context.io.stderr)));
        }
        progress.line(
          wrapText(describeDataset(dataset, settings.recipe), columnsOf(context.io.stderr)),
        );
      },
    ),
  ).catch(sayingWhere('--teacher'));
  await releasing(async (keep) => {
    keep(run.model);
    if (!run.result.finished) throw interrupted(run, resumeCommand('train', out, context.given));
    const inOurFlags = (texts: readonly string[]): string[] =>
      texts.map((text) => inFlags(text, context.flags));
    context.json({
      run: run.path,
      model: run.result.path,
      settings: run.settings,
      from: await factsOf(run, inOurFlags(notes)),
      teacher: run.teacher ? { ...run.teacher, notes: inOurFlags(run.teacher.notes) } : null,
      device,
      precision,
      ...(workers && { workers: workers.group.workers }),
      parameters: run.model.numParameters(),
      ...run.result,
    });
    printTrained(context, run);
  });
}

const describeTeacher = ({ teacher, weight = 0.5, temperature = 1 }: TeacherSettings): string =>
  `taught by ${shownFile(teacher)}, with a weight of ${weight} in the loss and a temperature of ${temperature}`;

/** Of the weights that the run began with, if it did with any. */
async function factsOf(
  { settings, info }: TrainRun,
  notes: readonly string[],
): Promise<ModelFacts | null> {
  if (settings.init === undefined) return null;
  const { assumedIn } = await import('../../workflows/same-info.js');
  return { model: settings.init, assumed: assumedIn(info), notes };
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
