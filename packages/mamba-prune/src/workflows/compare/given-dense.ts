// Dense models that are there already, in place of those that a comparison would train.
import { relativePath } from '../../shell.js';
import { dirname, join, resolve } from 'node:path';
import type { Dataset, NoteHandler } from '../../data/types.js';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import type { ImageModel, ModelConfigBase } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import { stableJson } from '../../training/options.js';
import { RunFolder } from '../../training/run-folder.js';
import { checkFits, withModelInfo } from '../fit.js';
import { differsFromFresh, freshOptions } from '../fresh-settings.js';
import { openAsItIs } from '../open-model-file.js';
import { digestOf } from '../prune/source.js';
import { type RecipeSettings, type TrainSettings, storedSettings } from '../settings.js';

export interface GivenDense {
  /** Absolute. */
  readonly path: string;
  /** By which the model is known wherever it lies. */
  readonly sha256: string;
}

export interface OpenedDense {
  readonly dense: readonly GivenDense[];
  /** As given, with the models' architecture and sizes, and, where they are runs, with the recipe of these. */
  readonly train: TrainSettings;
  /** The first of them; the caller's to dispose. */
  readonly model: ImageModel;
  /** Of that one. */
  readonly info: ModelInfo;
}

interface OpenDenseOptions {
  /** Names of the classes of files of other programs. */
  readonly classes?: readonly string[] | undefined;
  /** Is told of one that has been pruned before. */
  readonly onNote?: NoteHandler | undefined;
}

/**
 * @param paths - of model files; one that lies in the folder of a training brings its recipe
 * @throws UsageError if they do not fit the data, or differ in more than their weights; FormatError
 */
export async function openDense(
  paths: readonly string[],
  train: TrainSettings,
  dataset: Dataset,
  { classes, onNote }: OpenDenseOptions = {},
): Promise<OpenedDense> {
  const files = paths.map((path) => resolve(path));
  let first: Pick<OpenedDense, 'model' | 'info'> | undefined;
  try {
    for (const path of files) {
      const { model, info, isOurs } = await openAsItIs(path, defined({ classes }));
      try {
        checkFits(model.config, dataset.info);
        withModelInfo(dataset, info, { takesClasses: !isOurs });
        if (info.history.some(({ step }) => step === 'prune')) onNote?.(prunedNote(path));
        checkAlike('models', files[0] ?? '', first?.model.config, path, model.config);
      } catch (error) {
        model.dispose();
        throw error;
      }
      if (first) model.dispose();
      else first = { model, info };
    }
    if (!first) throw new UsageError('compare: got no dense model, expected one at least.');
    const recipe = recipeOf(files) ?? train.recipe;
    const { config } = first.model;
    return {
      dense: files.map((path) => ({ path, sha256: digestOf(path) })),
      train: { ...train, arch: config.arch, model: freshOptions(config), recipe },
      ...first,
    };
  } catch (error) {
    first?.model.dispose();
    throw error;
  }
}

const prunedNote = (path: string): string =>
  `${relativePath(path)} has been pruned before. What is compared as dense is this smaller model, and the rates are shares of the units that ` +
  'it has left.';

/**
 * Whether a fresh model like a given one can be made, so that scratch can train it.
 * @throws UsageError naming what differs
 */
export function checkFresh(config: ModelConfigBase): void {
  const different = differsFromFresh(config);
  if (different === undefined) return;
  throw new UsageError(
    `compare: scratch needs fresh models like the dense one, but ${different}. Leave scratch out.`,
  );
}

/** Of the trainings whose models these are; undefined if they are only files. */
function recipeOf(files: readonly string[]): RecipeSettings | undefined {
  const [first, ...others] = files.map(recipeBeside);
  for (const [i, recipe] of others.entries()) {
    checkAlike('recipes', files[0] ?? '', first ?? {}, files[i + 1] ?? '', recipe ?? {});
  }
  return first;
}

/** Of the training in whose folder a model is the result; without its seed, which is each run's own. */
function recipeBeside(path: string): RecipeSettings | undefined {
  const folder = dirname(resolve(path));
  if (resolve(path) !== join(folder, 'model.safetensors') || !RunFolder.isRun(folder)) {
    return undefined;
  }
  if (RunFolder.open(folder).config.command !== 'train') return undefined;
  const { recipe } = storedSettings(folder, 'train');
  return { ...defined({ ...recipe, seed: undefined }), epochs: recipe.epochs };
}

function checkAlike(
  what: string,
  firstPath: string,
  first: object | undefined,
  path: string,
  other: object,
): void {
  if (first === undefined || stableJson(first) === stableJson(other)) return;
  const names = new Set([...Object.keys(first), ...Object.keys(other)]);
  const values = [first, other] as readonly Readonly<Record<string, unknown>>[];
  const name = [...names].find(
    (key) => stableJson(values[0]?.[key]) !== stableJson(values[1]?.[key]),
  );
  throw new UsageError(
    `compare: the dense models have different ${what}: ${name ?? ''} is ${stableJson(values[0]?.[name ?? ''])} in ` +
      `${relativePath(firstPath)} and ${stableJson(values[1]?.[name ?? ''])} in ${relativePath(path)}. Give models that differ in their seed only.`,
  );
}
