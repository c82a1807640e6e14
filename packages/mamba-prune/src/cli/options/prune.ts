// What the flags of `prune` say: the settings of a new run, or of one that goes on.
import { resolve } from 'node:path';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { familyNamed } from '../../models/families.js';
import type { Family } from '../../models/family.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { rateOfGroups } from '../../pruning/group-patterns.js';
import { needForImages } from '../../pruning/importances.js';
import type { Keep } from '../../releasing.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import type { Context } from '../context.js';
import { findModel } from '../model-argument.js';
import { type OpenedModel, openFile } from '../open-model.js';
import type { ImageSource } from '../own-images.js';
import {
  type TypedRates,
  noteOtherChoice,
  readRatesFrom,
  saidOfMeasured,
  typedRatesFrom,
} from '../rates-from.js';
import type { CommonOptions } from './common.js';
import type { CacheOptions, DataOptions } from './data.js';
import { flagOf } from './flag-name.js';
import { type ImportFlags, importOptionsOf } from './import.js';
import { checkPruningFlags } from './pruning-checks.js';
import { type PruningFlags, hasBudget, pruningOf, recipeThrough } from './pruning.js';
import { hasRates, modelKinds, ratesOf } from './rates.js';
import {
  type RecipeOptions,
  checkMomentum,
  recipeOf,
  readRecipeFrom,
  refuseOtherRecipe,
  typedRecipe,
} from './recipe.js';
import { type RunOptions, checkNew, outOf } from './run.js';

export type PruneCommandOptions = CommonOptions &
  DataOptions &
  CacheOptions &
  ImportFlags &
  PruningFlags &
  RecipeOptions &
  RunOptions;

export const pruneDefaults = { epochs: 0, lr: 5e-4, phase: 'finetune' } as const;

interface Told {
  readonly settings: PruneSettings;
  /** Of a new run's model. */
  readonly family?: Family;
  /** What the rates were measured with. */
  readonly measured?: TypedRates['measured'];
  /** Of the model's file. */
  readonly notes: readonly string[];
  /** The model of a new run, for the run. */
  readonly opened?: OpenedModel;
}

/**
 * What was typed over what the run's config.json says, or over the defaults.
 * @param keep - frees the model that is opened here
 */
export async function pruneSettingsOf(
  context: Context<PruneCommandOptions>,
  argument: string | undefined,
  keep: Keep,
): Promise<Told> {
  const { options, given } = context;
  const { storedSettings } = await import('../../workflows/settings.js');
  const stored = options.resume === undefined ? undefined : storedSettings(outOf(options), 'prune');
  if (!stored) await checkNew(options);
  const told = stored
    ? await resumedSettings(context, stored, argument)
    : await newSettings(context, argument, keep);
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
  const { dataset, data, cachedSize } = given;
  if (given.ratesFrom !== undefined) {
    throw new UsageError(
      'got --rates-from with --resume: a run keeps the rates that it began with. Leave it out.',
    );
  }
  refuseOtherRecipe(given, stored.preset);
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
  keep: Keep,
): Promise<Told> {
  if (argument === undefined) {
    throw new UsageError("the argument 'MODEL|RUN' is missing, expected what to prune.");
  }
  const { given, options } = context;
  const file = await findModel(context, argument);
  const measured = await readRatesFrom(context, file);
  const opened = await openFile(context, file, { said: await saidOfMeasured(context, measured) });
  const { config } = opened.model;
  const pruned = keep(opened.model).pruningGroups();
  const kinds = modelKinds(pruned);
  const groups = pruned.map(({ name, kind }) => ({ name, kind }));
  const own = measured && (await typedRatesFrom(context, opened, kinds, measured));
  const { path, facts, info, options: said } = opened;
  const pruning = pruningOf(given);
  const { cachedSize, preset, recipeFrom } = given;
  const rates = own?.rates ?? ratesOf(given, kinds);
  const rateOf = own?.rateOf ?? rateOfGroups(given, groups, Object.keys(rates));
  const { dataset, data } = (await imagesOf(context, path, { config, info })) ?? {};
  const [recipeFlag] = Object.keys(defined({ preset, recipeFrom }));
  if (recipeFlag !== undefined && dataset === undefined) {
    throw new UsageError(
      `got ${flagOf(recipeFlag)}, but the model does not say what it was trained on. Give --dataset.`,
    );
  }
  const recipe = await readRecipeFrom(given);
  const settings = {
    model: resolve(opened.path),
    // Whoever resumes the run need not say it again, and what lies beside the file may change.
    ...(Object.keys(said).length > 0 && { import: said }),
    ...pruning,
    // Under near-zero and a budget the rates only name the kinds.
    rates: given.nearZero === undefined && !hasBudget(given) ? rates : mapValues(rates, () => 0),
    ...(rateOf && { rateOf }),
    ...defined({ dataset, data, cachedSize, preset }),
    recipe: recipeThrough(given, (flags) =>
      recipeOf(flags, options.seed, { ...pruneDefaults, recipe }, dataset ?? ''),
    ),
  };
  return {
    settings,
    family: familyNamed(config),
    ...(own && { measured: own.measured }),
    notes: facts.notes,
    opened,
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
  recipeFrom,
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
    recipeFrom !== undefined ||
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
