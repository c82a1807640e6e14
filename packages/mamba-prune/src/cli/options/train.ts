// What the flags of `train` say: the settings of a new training, or of one that goes on.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { presetInterpolation } from '../../training/presets.js';
import type { TrainSettings } from '../../workflows/settings.js';
import type { TeacherSettings } from '../../workflows/teacher.js';
import type { Context } from '../context.js';
import { inFlags } from '../flag-spelling.js';
import { findModel } from '../model-argument.js';
import { sayingWhere } from '../said-elsewhere.js';
import type { WorkerOptions } from '../workers.js';
import type { CommonOptions } from './common.js';
import type { CacheOptions, DataOptions, PreparationOptions } from './data.js';
import { type WeightsFlags, typedOfWeights, weightsOptionsOf } from './import.js';
import { type ModelFlags, newModelOptions, typedModelOptions } from './model.js';
import { numberOption } from './parse.js';
import { temperatureOption } from './pruning.js';
import {
  type RecipeOptions,
  checkMomentum,
  recipeOf,
  readRecipeFrom,
  refuseOtherRecipe,
  typedRecipe,
} from './recipe.js';
import { type RunOptions, checkNew, outOf } from './run.js';

interface FromFlags extends WeightsFlags {
  readonly from?: string;
  readonly widthsFrom?: string;
}

interface TeacherFlags {
  readonly teacher?: string;
  readonly distill?: number;
  readonly temperature?: number;
}

interface KeepFlags {
  readonly keepEpochs?: readonly number[];
}

export type TrainCommandOptions = CommonOptions &
  DataOptions &
  PreparationOptions &
  CacheOptions &
  ModelFlags &
  RecipeOptions &
  RunOptions &
  WorkerOptions &
  KeepFlags &
  FromFlags &
  TeacherFlags;

export const trainDefaults = { epochs: 30, lr: 1e-3, phase: 'train' } as const;
export const defaultArch = 'mamba_tiny';

export function addTrainTeacherOptions(command: Command): void {
  command.optionsGroup('Teacher:');
  command.option(
    '--teacher <model>',
    'model whose outputs are targets beside the labels, such as the dense one of a pruned model; named as for --from, and of the same classes and image size',
  );
  command.addOption(
    numberOption(
      '--distill <x>',
      'weight of the teacher in the loss; 1 leaves the labels out (default: 0.5)',
      {
        above: 0,
        max: 1,
      },
    ),
  );
  command.addOption(temperatureOption());
}

/** What was typed over what the run's config.json says, or over the defaults. */
export async function trainSettingsOf(
  context: Context<TrainCommandOptions>,
): Promise<{ readonly settings: TrainSettings; readonly notes: readonly string[] }> {
  const { options, given } = context;
  const { arch, imageSize, keepEpochs, preset, from, widthsFrom } = given;
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
    refuseOtherRecipe(given, stored.preset);
    const recipe = { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) };
    checkMomentum(given, recipe);
    const settings = {
      ...stored,
      ...data,
      ...defined({ keepEpochs }),
      arch: arch ?? stored.arch,
      model: { ...stored.model, ...model },
      recipe,
      ...(await resumedTeacher(context, stored.distill)),
    };
    return { settings, notes: [] };
  }
  await checkNew(options);
  const { dataset } = given;
  if (dataset === undefined) {
    throw new UsageError('--dataset is missing, expected a name such as fashion-mnist or cifar10.');
  }
  const recipe = await readRecipeFrom(given);
  const usual = preset === undefined ? undefined : presetInterpolation(preset, dataset);
  const rest = {
    ...defined({ interpolation: usual }),
    ...data,
    dataset,
    recipe: recipeOf(given, options.seed, { ...trainDefaults, recipe }, dataset),
    ...defined({ keepEpochs, preset }),
    ...(await newTeacher(context)),
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
    defined({ arch, ...sizes, ...(await weightsOptionsOf(given)) }),
    imageSize,
  );
  // Weights to begin with bring their own sizes.
  const settings = { ...rest, init, arch: found.arch, import: found.import, model };
  return { settings, notes: found.notes };
}

/** @throws UsageError for what belongs to a teacher, where there is none */
async function newTeacher(
  context: Context<TrainCommandOptions>,
): Promise<Pick<TrainSettings, 'distill'>> {
  const { teacher, distill: weight, temperature } = context.given;
  if (teacher === undefined) {
    const [flag] = Object.keys(defined({ distill: weight, temperature }));
    if (flag === undefined) return {};
    throw new UsageError(
      `got --${flag}, which belongs to --teacher. Give a teacher, or leave it out.`,
    );
  }
  const path = resolve(await findModel(context, teacher, { flag: '--teacher' }));
  await keeps(context, path);
  return { distill: { teacher: path, ...defined({ weight, temperature }) } };
}

/** Of a run that goes on: the one that it began with, which may lie elsewhere now. */
async function resumedTeacher(
  context: Context<TrainCommandOptions>,
  stored: TeacherSettings | undefined,
): Promise<Pick<TrainSettings, 'distill'>> {
  const { teacher, distill: weight, temperature } = context.given;
  if (stored === undefined) {
    const [flag] = Object.keys(defined({ teacher, distill: weight, temperature }));
    if (flag === undefined) return {};
    throw new UsageError(
      `got --${flag}, but the run began without a teacher. Leave it out, or start a new run.`,
    );
  }
  const moved =
    teacher === undefined
      ? {}
      : { teacher: resolve(await findModel(context, teacher, { flag: '--teacher' })) };
  return { distill: { ...stored, ...moved, ...defined({ weight, temperature }) } };
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
  await keeps(context, path);
  const { freshSettings } = await import('../../workflows/fresh-settings.js');
  const { openAsItIs } = await import('../../workflows/open-model-file.js');
  const { model } = await openAsItIs(path).catch(sayingWhere('--widths-from'));
  try {
    const fresh = freshSettings(model, argument);
    return { ...fresh, model: { ...fresh.model, ...defined({ dropPath }) } };
  } finally {
    model.dispose();
  }
}

/** @throws RunFolderError if the run would take the place of this file, which it is made of */
async function keeps({ options }: Context<TrainCommandOptions>, path: string): Promise<void> {
  const { RunFolder } = await import('../../training/run-folder.js');
  const { overwrite } = options;
  RunFolder.checkNew(outOf(options), { overwrite, sources: [path] });
}

/** @throws UsageError if there is no file that it is about */
function refuseAboutFile(given: FromFlags, why: string): void {
  const about = typedOfWeights(given);
  if (about === undefined) return;
  const { flag, value } = about;
  const said = value === undefined ? `${why}, of which it could be` : `got '${value}', but ${why}`;
  throw new UsageError(`${flag}: ${said}. Leave it out.`);
}
