// What a data set must say of itself to be registered.
import { UsageError } from '../errors.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { leastCropShare } from '../preparation/preprocessing.js';
import { augmentPresetNames } from './augment/options.js';
import { type DatasetRecipe, presetNames, type TrainingPhase } from './dataset-recipe.js';
import type { DatasetDefinition, DatasetDownload } from './definition.js';

const kinds: OptionKinds<DatasetDefinition> = {
  name: 'string',
  description: 'string',
  needsFolder: 'boolean',
  anySize: 'boolean',
  cropShare: 'number',
  recipe: 'object',
  divisions: 'string',
  download: 'object',
  open: 'function',
  verify: 'function',
  isAtHand: 'function',
  module: 'string',
};

const recipeKinds: OptionKinds<DatasetRecipe> = {
  batchSize: 'number',
  lr: 'number',
  epochs: 'object',
  augment: 'object',
  usualAugment: 'string',
  interpolation: 'string',
  models: 'object',
  found: 'object',
};

const downloadKinds: OptionKinds<DatasetDownload> = {
  from: 'string',
  get: 'function',
  getToCache: 'function',
};

/** @throws UsageError naming what cannot be used */
export function checkDefinition(definition: DatasetDefinition): void {
  requireOptions('registerDataset', definition, kinds, ['name', 'description', 'open']);
  const { name, cropShare, recipe, download } = definition;
  const where = `registerDataset "${name}"`;
  if (!/^[a-z0-9]+(?:[-_.][a-z0-9]+)*$/.test(name)) {
    throw new UsageError(
      `registerDataset: got the name ${JSON.stringify(name)}, expected small letters and digits, with single -, _ or . ` +
        'between them, such as my-images.',
    );
  }
  if (cropShare !== undefined && !(cropShare >= leastCropShare && cropShare <= 1)) {
    throw new UsageError(
      `${where}: cropShare: got ${cropShare}, expected a number from ${leastCropShare} to 1.`,
    );
  }
  if (download) requireOptions(`${where}: download`, download, downloadKinds, ['from', 'get']);
  if (recipe) checkRecipe(`${where}: recipe`, recipe);
}

function checkRecipe(where: string, recipe: DatasetRecipe): void {
  requireOptions(where, recipe, recipeKinds, ['batchSize', 'lr', 'epochs', 'augment']);
  const { batchSize, lr, epochs, augment, usualAugment } = recipe;
  const fail = (what: string, got: unknown, expected: string): never => {
    throw new UsageError(`${where}: ${what}: got ${String(got)}, expected ${expected}.`);
  };
  const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 1;
  if (!isCount(batchSize)) fail('batchSize', batchSize, 'an integer from 1');
  if (!(lr > 0 && Number.isFinite(lr))) fail('lr', lr, 'a number above 0');
  const augmentations: readonly string[] = augmentPresetNames();
  const checkAugment = (what: string, name: string | undefined): void => {
    if (name === undefined || !augmentations.includes(name)) {
      fail(what, name, `one of ${augmentations.join(', ')}`);
    }
  };
  // Of code that no compiler has seen, anything may be missing.
  const given: Partial<Record<TrainingPhase, Partial<Record<string, unknown>>>> = epochs;
  const names: Partial<Record<string, string>> = augment;
  for (const preset of presetNames) {
    for (const phase of ['train', 'finetune'] as const) {
      const count = given[phase]?.[preset];
      if (!isCount(count)) fail(`epochs.${phase}.${preset}`, count, 'an integer from 1');
    }
    checkAugment(`augment.${preset}`, names[preset]);
  }
  if (usualAugment !== undefined) checkAugment('usualAugment', usualAugment);
}
