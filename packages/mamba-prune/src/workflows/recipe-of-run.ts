// The recipe of a run that is there already, for another training.
import { readTextFile } from '@mamba-prune/libtorch/files';
import { basename, dirname, resolve } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { requirePath } from '../option-checks.js';
import { relativePath } from '../shell.js';
import { RunFolderError } from '../training/errors.js';
import { configPathOf } from '../training/run-config.js';
import { RunFolder } from '../training/run-folder.js';
import { modelFileName } from './model-path.js';
import { overEpochs } from './over-epochs.js';
import { todaysSettings } from './prune/earlier-names.js';
import type { RecipeSettings } from './settings.js';

/** What belongs to a run alone: its chance, its images, and when it looks, writes and with which numbers. */
const ownOfRun = [
  'seed',
  'maxTrainImages',
  'maxTestImages',
  'evalEvery',
  'evalBatchSize',
  'checkpointEvery',
  'logEverySteps',
  'precision',
] as const;

/** A recipe without what belongs to a run alone. */
export type RunRecipe = Omit<RecipeSettings, (typeof ownOfRun)[number]>;

const commands: readonly string[] = ['train', 'prune'];

/** What is worked out of it here. All else is checked where it is used, as what was typed is. */
const settingsSchema = z.looseObject({
  recipe: z.looseObject({
    epochs: z.int().min(0),
    warmupEpochs: z.number().optional(),
    plainEpochs: z.number().optional(),
    milestones: z.array(z.number()).optional(),
  }),
  rsst: z
    .looseObject({ epochs: z.int().min(1).optional(), lrThrough: z.boolean().optional() })
    .optional(),
});

/** Of a training that has grown: it writes its epochs with the options alone. */
const grownSchema = z.looseObject({ epochs: z.int().min(1) });

/**
 * The recipe by which a training, or what follows a cut, was trained: epochs, batch size, optimizer, learning rate and its
 * schedule, augmentation. Without the seed, the number of images, evaluations, checkpoints and precision. Where the
 * schedule of RSST began before the cut (`lrThrough`), the epochs are those after it, and warm-up, plain epochs and
 * milestones have their share of them.
 * @param path - of the run's folder, or of the model in it
 * @throws UsageError if it is no run of train or prune, or one that was not trained; RunFolderError if its config.json
 *   is damaged
 */
export function recipeOfRun(path: string): RunRecipe {
  requirePath('recipeOfRun', path, 'a run of train or prune');
  const folder = basename(path) === modelFileName ? dirname(resolve(path)) : resolve(path);
  const where = relativePath(path);
  if (!RunFolder.isRun(folder) && !isDamaged(folder)) {
    throw new UsageError(
      `got ${where}, expected the folder of a run of train or prune, whose config.json has the recipe.`,
    );
  }
  const { config, configPath } = RunFolder.open(folder);
  if (!commands.includes(config.command)) {
    throw new UsageError(
      `got ${where}, a run of '${config.command}', expected one of train or prune.`,
    );
  }
  const { data, error } = settingsSchema.safeParse(todaysSettings(config['settings']));
  if (!data) {
    throw new RunFolderError(
      folder,
      `the settings in ${relativePath(configPath)} are damaged: ${z.prettifyError(error)}. Put the file back, or give another run.`,
    );
  }
  const isOwn = (name: string): boolean => (ownOfRun as readonly string[]).includes(name);
  const stored = Object.fromEntries(Object.entries(data.recipe).filter(([name]) => !isOwn(name)));
  const recipe = { ...stored, epochs: data.recipe.epochs } as RecipeSettings;
  const grown = grownSchema.safeParse(config.train).data?.epochs ?? 0;
  if (config.command === 'train' && grown > recipe.epochs) return { ...recipe, epochs: grown };
  if (recipe.epochs === 0) {
    throw new UsageError(
      `got ${where}, which was cut and not trained, expected a run that has a recipe.`,
    );
  }
  return data.rsst?.lrThrough === true ? afterCut(recipe, data.rsst.epochs) : recipe;
}

/** Of a schedule that began before the cut and is over all epochs. */
function afterCut(recipe: RecipeSettings, before = recipe.epochs): RecipeSettings {
  const { epochs } = recipe;
  return overEpochs({ ...recipe, epochs: before + epochs }, epochs);
}

/** Whether it has a config.json that nothing can be read of, and not that of something else. */
function isDamaged(folder: string): boolean {
  try {
    JSON.parse(readTextFile(configPathOf(folder)));
    return false;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return !['ENOENT', 'ENOTDIR'].includes(code);
  }
}
