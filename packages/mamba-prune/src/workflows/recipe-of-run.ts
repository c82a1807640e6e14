// The recipe of a run that is there already, for another training.
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { relativePath } from '../shell.js';
import { RunFolder } from '../training/run-folder.js';
import type { RecipeSettings } from './settings.js';

/** What belongs to a run alone: its chance, its images, and when it looks, writes and with which numbers. */
const ownOfRun: readonly string[] = [
  'seed',
  'maxTrainImages',
  'maxTestImages',
  'evalEvery',
  'evalBatchSize',
  'checkpointEvery',
  'logEverySteps',
  'precision',
];

const commands: readonly string[] = ['train', 'prune'];

const settingsSchema = z.looseObject({ recipe: z.looseObject({ epochs: z.number() }) });

/**
 * The recipe by which a training, or what follows a cut, was trained: epochs, batch size, optimizer, learning rate and its
 * schedule, augmentation. Without the seed, the number of images, evaluations, checkpoints and precision.
 * @param path - of the run's folder, or of the model in it
 * @throws UsageError if it is no run of train or prune, or one that was not trained; RunFolderError if its config.json
 *   is damaged
 */
export function recipeOfRun(path: string): RecipeSettings {
  const folder = basename(path) === 'model.safetensors' ? dirname(resolve(path)) : resolve(path);
  const where = relativePath(path);
  if (!RunFolder.isRun(folder)) {
    throw new UsageError(
      `got ${where}, expected the folder of a run of train or prune, whose config.json has the recipe.`,
    );
  }
  const { config } = RunFolder.open(folder);
  const { data } = settingsSchema.safeParse(config['settings']);
  if (!commands.includes(config.command) || !data) {
    throw new UsageError(
      `got ${where}, a run of '${config.command}' without a recipe in its ${join(where, 'config.json')}, expected a run of train or prune.`,
    );
  }
  const isOwn = (name: string): boolean => ownOfRun.includes(name);
  const recipe = Object.fromEntries(Object.entries(data.recipe).filter(([name]) => !isOwn(name)));
  // A training that has grown writes its epochs with the options alone.
  const grown = config.command === 'train' ? (config.train?.epochs ?? 0) : 0;
  const epochs = Math.max(data.recipe.epochs, grown);
  if (epochs === 0) {
    throw new UsageError(
      `got ${where}, which was cut and not trained, expected a run that has a recipe.`,
    );
  }
  // Each setting is checked where it is used, as one that was typed is.
  return { ...(recipe as unknown as RecipeSettings), epochs };
}
