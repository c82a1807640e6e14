import { resolve } from 'node:path';
import type { Command } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { plural } from '../../format.js';
import { familyNamed } from '../../models/families.js';
import type { Family } from '../../models/family.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { needForImages } from '../../pruning/importances.js';
import { relativePath, resumeCommand } from '../../shell.js';
import type { PruneRun } from '../../workflows/prune/run.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import { type Cli, type Context, InterruptedError, action, addExamples } from '../context.js';
import { findModel } from '../model-argument.js';
import { openModel } from '../open-model.js';
import { type CommonOptions, addCommonOptions } from '../options/common.js';
import {
  type CacheOptions,
  type DataOptions,
  addCacheOption,
  addDataOptions,
} from '../options/data.js';
import { rateOfGroups } from '../../pruning/group-patterns.js';
import {
  type ImportFlags,
  addImportOptions,
  importOptionsOf,
  modelArgument,
} from '../options/import.js';
import { checkPruningFlags } from '../options/pruning-checks.js';
import {
  type PruningFlags,
  addPruningOptions,
  addTeacherOptions,
  hasBudget,
  pruningOf,
  recipeThrough,
} from '../options/pruning.js';
import { hasRates, modelKinds, ratesOf } from '../options/rates.js';
import {
  type RecipeOptions,
  addRecipeOptions,
  checkMomentum,
  recipeOf,
  refuseOtherPreset,
  typedRecipe,
} from '../options/recipe.js';
import { type RunOptions, addRunOptions, checkNew, outOf } from '../options/run.js';
import type { ImageSource } from '../own-images.js';
import { pruningHooks } from '../pruning-progress.js';
import { printPruningRun } from '../pruning-tables.js';
import { type TypedRates, noteOtherChoice, typedRatesFrom } from '../rates-from.js';
import { interruptible } from '../work.js';

type PruneCommandOptions = CommonOptions &
  DataOptions &
  CacheOptions &
  ImportFlags &
  PruningFlags &
  RecipeOptions &
  RunOptions;

const defaults = { epochs: 0, lr: 5e-4, phase: 'finetune' } as const;

export function addPruneCommand(program: Command, cli: Cli): void {
  const command = program
    .command('prune')
    .summary('remove channels, neurons or heads, then fine-tune')
    .description(
      'Removes the least important units of a model: channels of its SSMs or convolutions, neurons ' +
        'of its MLPs, attention heads. The result is a smaller model, not a masked one. With --epochs ' +
        'it is trained on after each cut, which a large cut needs. The images are those given, or those ' +
        'that the model was trained on where they are found on this machine: units are chosen by them, and ' +
        'the accuracy is measured before and after the cut. The folder of the run gets model.safetensors, ' +
        'config.json, and pruning.json, which names the units kept.',
    )
    .argument('[MODEL|RUN]', `${modelArgument}; not needed to resume`);
  addPruningOptions(command);
  addDataOptions(command, 'the one the model was trained on, if it is found');
  addCacheOption(command);
  addRecipeOptions(command, 'Fine-tuning after each cut:', defaults);
  addTeacherOptions(command);
  addImportOptions(command);
  addRunOptions(command);
  addCommonOptions(command);
  addExamples(command, [
    [
      'Cut 70% of the SSM channels and MLP neurons away, and no more',
      'mamba-prune prune runs/a --rate 0.7 --out runs/a-cut',
    ],
    [
      'To three tenths of the multiply-accumulates, with the first block left whole',
      "mamba-prune prune runs/a --target-macs 0.3x --exclude 'blocks.0.*' \\\n" +
        '    --out runs/a-cut',
    ],
    [
      'By a rate, for a model that comes without its images',
      'mamba-prune prune model.safetensors --rate 0.7 --dataset folder \\\n' +
        '    --data photos --out runs/a-cut',
    ],
    [
      'In five rounds, a tenth of what was cut coming back in each',
      'mamba-prune prune runs/a --method refill --fillback 0.1 --rounds 5 \\\n' +
        '    --epochs 2 --out runs/a-refill',
    ],
    [
      'Drive the units to zero first, with the dense model as a teacher afterwards',
      'mamba-prune prune runs/a --method rsst --reg-units doomed \\\n' +
        '    --reg-norm group --reg-epochs 3 --epochs 2 --distill 0.5 --out runs/a-rsst',
    ],
    [
      'A rate for each group, by what its cut costs',
      'mamba-prune sensitivity runs/a --out runs/a/sensitivity.json\n' +
        '  mamba-prune prune runs/a --rates-from runs/a/sensitivity.json \\\n' +
        '    --rate 0.7 --out runs/a-cut',
    ],
    ['Go on after Ctrl-C', 'mamba-prune prune --resume --out runs/a-refill'],
  ]);
  action<PruneCommandOptions>(cli, command, async (context, argument?: string) => {
    const { options } = context;
    const out = outOf(options);
    const { settings, notes } = await settingsOf(context, argument);
    const { prepareDevice } = await import('../device.js');
    const { storedSettings } = await import('../../workflows/settings.js');
    const { pruneRun } = await import('../../workflows/prune/run.js');
    const onNote = (note: string): void => {
      context.note(note);
    };
    const device = prepareDevice(options, onNote);
    const { resume, restart, overwrite, dataThreads, tensorboard, autoBatch } = options;
    const run = await interruptible(context, (signal) =>
      pruneRun(
        settings,
        {
          out,
          resume,
          restart,
          overwrite,
          dataThreads,
          tensorboard,
          autoBatch,
          device,
          signal,
          args: context.argv,
          data: { onNote },
        },
        pruningHooks(context),
      ),
    );
    if (!run.finished) throw interrupted(run, resumeCommand('prune', out, context.given));
    const { assumedIn } = await import('../../workflows/same-info.js');
    const stored = storedSettings(run.path, 'prune');
    const about = { settings: stored, device, assumed: assumedIn(run.info), notes };
    await printPruningRun(context, run, about, { data: stored.data });
  });
}

interface Told {
  readonly settings: PruneSettings;
  /** Of a new run's model. */
  readonly family?: Family;
  /** What the rates were measured with. */
  readonly measured?: TypedRates['measured'];
  /** Of the model's file. */
  readonly notes: readonly string[];
}

async function settingsOf(
  context: Context<PruneCommandOptions>,
  argument: string | undefined,
): Promise<Told> {
  const { options, given } = context;
  const { storedSettings } = await import('../../workflows/settings.js');
  const stored = options.resume === undefined ? undefined : storedSettings(outOf(options), 'prune');
  if (!stored) await checkNew(options);
  const told = stored
    ? await resumedSettings(context, stored, argument)
    : await newSettings(context, argument);
  const { decideImportance } = await import('../../workflows/prune/importance-choice.js');
  const decided = decideImportance(told.settings, told.family);
  checkPruningFlags(given, decided);
  if (told.measured && decided.importanceReason !== 'unused') {
    noteOtherChoice(context, told.measured, decided);
  }
  return told;
}

/** What was typed over what the run has; the run itself sees whether that may be. */
async function resumedSettings(
  context: Context<PruneCommandOptions>,
  stored: PruneSettings,
  argument: string | undefined,
): Promise<Told> {
  const { given } = context;
  const { dataset, data, cachedSize, preset } = given;
  if (given.ratesFrom !== undefined) {
    throw new UsageError(
      'got --rates-from with --resume: a run keeps the rates that it began with. Leave it out.',
    );
  }
  refuseOtherPreset(preset, stored.preset);
  const recipe = { ...stored.recipe, ...typedRecipe(given), ...defined({ seed: given.seed }) };
  checkMomentum(given, recipe);
  const kinds = Object.keys(stored.rates).map((kind) => ({ kind, optional: false }));
  const { readPruningRecord } = await import('../../workflows/prune/record.js');
  const groups = Object.entries(readPruningRecord(outOf(context.options))?.kinds ?? {}).map(
    ([name, kind]) => ({ name, kind }),
  );
  const rateOf = rateOfGroups(given, groups, Object.keys(stored.rates));
  const model = argument === undefined ? undefined : resolve(await findModel(context, argument));
  const said = await importOptionsOf(given);
  const settings = {
    ...stored,
    ...pruningOf(given, stored),
    ...defined({ model, dataset, data, cachedSize }),
    ...(Object.keys(said).length > 0 && { import: { ...stored.import, ...said } }),
    ...(rateOf && { rateOf }),
    rates: hasRates(given)
      ? mapValues(ratesOf(given, kinds), (rate) => (stored.costBudget ? 0 : rate))
      : stored.rates,
    recipe,
  };
  return { settings, notes: [] };
}

async function newSettings(
  context: Context<PruneCommandOptions>,
  argument: string | undefined,
): Promise<Told> {
  if (argument === undefined) {
    throw new UsageError("the argument 'MODEL|RUN' is missing, expected what to prune.");
  }
  const { given, options } = context;
  const opened = await openModel(context, argument);
  const pruned = opened.model.pruningGroups();
  const kinds = modelKinds(pruned);
  const groups = pruned.map(({ name, kind }) => ({ name, kind }));
  const { config } = opened.model;
  const own = await typedRatesFrom(context, opened, kinds);
  opened.model.dispose();
  const { path, facts, info, options: said } = opened;
  const pruning = pruningOf(given);
  const { cachedSize, preset } = given;
  const rates = own?.rates ?? ratesOf(given, kinds);
  const rateOf = own?.rateOf ?? rateOfGroups(given, groups, Object.keys(rates));
  const { dataset, data } = (await imagesOf(context, path, { config, info })) ?? {};
  if (preset !== undefined && dataset === undefined) {
    throw new UsageError(
      'got --preset, but the model does not say what it was trained on. Give --dataset.',
    );
  }
  const settings = {
    model: resolve(opened.path),
    // Whoever resumes the run need not say it again, and what lies beside the file may change.
    ...(Object.keys(said).length > 0 && { import: said }),
    ...pruning,
    // Under near-zero and a budget the rates only name the kinds.
    rates: given.nearZero === undefined && !hasBudget(given) ? rates : mapValues(rates, () => 0),
    ...(rateOf && { rateOf }),
    ...defined({ dataset, data, cachedSize, preset }),
    recipe: recipeThrough(given, (flags) => recipeOf(flags, options.seed, defaults, dataset ?? '')),
  };
  return {
    settings,
    family: familyNamed(config),
    ...(own && { measured: own.measured }),
    notes: facts.notes,
  };
}

/**
 * The images that were asked for; else those that the model was trained on, which must be there if anything
 * that was typed takes images, and are used if they are there otherwise.
 */
async function imagesOf(
  context: Context<PruneCommandOptions>,
  path: string,
  { config, info }: Opened,
): Promise<ImageSource | undefined> {
  const { given } = context;
  const { recordedImages, requireOwnDataset, whyNotUsable } = await import('../own-images.js');
  const recorded = await recordedImages(path, info);
  const asked = defined({ dataset: given.dataset, data: given.data });
  if (Object.keys(asked).length > 0 || needsImages(given)) {
    const { dataFor } = await import('../../workflows/fit.js');
    const source = dataFor({ dataset: info.dataset, data: recorded?.data }, asked);
    if (source === undefined && given.data !== undefined) {
      throw new UsageError(
        'got --data, but the model does not say what it was trained on. Give --dataset too.',
      );
    }
    if (source !== undefined) await requireOwnDataset(path, source.dataset);
    return source;
  }
  if (recorded === undefined) return undefined;
  const onNote = (note: string): void => {
    context.note(note);
  };
  const problem = await whyNotUsable(path, recorded, { config }, info, { onNote });
  if (problem === undefined) return recorded;
  // Nobody expects images of a model that came alone.
  if (recorded.data !== undefined || recorded.module !== undefined) {
    context.note(
      `The images that the model was trained on (${recorded.dataset}) cannot be used here: ${problem}`,
    );
  }
  return undefined;
}

/** Whether anything that was typed takes images, so that they come from the model's own data set. */
function needsImages({
  epochs = 0,
  method,
  preset,
  importance,
  score,
  refillScore,
  bnBatches = 0,
  compensate,
  compensateImages,
}: Partial<PruneCommandOptions>): boolean {
  return (
    epochs > 0 ||
    bnBatches > 0 ||
    compensate !== undefined ||
    compensateImages !== undefined ||
    preset !== undefined ||
    method === 'rsst' ||
    needForImages({ importance, score, refillScore }) !== undefined
  );
}

interface Opened {
  readonly config: ImageModel['config'];
  readonly info: ModelInfo;
}

const mapValues = <V>(record: Readonly<Record<string, V>>, change: (value: V) => V) =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

export function interrupted({ result, record }: PruneRun, resume: string): InterruptedError {
  const { rounds, plannedRounds } = record;
  const current = rounds.filter(({ finished }) => finished).length + 1;
  const where =
    plannedRounds > 1 ? ` in round ${Math.min(current, plannedRounds)} of ${plannedRounds}` : '';
  return new InterruptedError(
    result && !result.finished
      ? `Stopped${where} after ${plural(result.steps, 'step')}; the checkpoint is ${relativePath(result.path)}.`
      : `Stopped${where} between two trainings; what was done is kept.`,
    resume,
  );
}
