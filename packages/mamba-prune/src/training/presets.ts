/**
 * Recipes by name: how to train each data set, quickly, well, or as well as we know how. They are
 * starting points for models of up to some ten million parameters; what a run gives itself counts
 * more. Unless one was found for a data set they use AdamW with warm-up and cosine, as vision
 * transformers and vision Mambas are trained (Touvron et al. 2021, arXiv 2012.12877; Zhu et al. 2024,
 * arXiv 2401.09417).
 *
 *     fast      to see whether something works at all
 *     standard  what to report, where time is limited
 *     best      many epochs with mixup, cutmix, RandAugment and averaged weights
 *
 * Fine-tuning after a cut starts from good weights: a quarter of the learning rate or so, fewer
 * epochs, less augmentation.
 */
import { datasetDefinitions } from '../data/datasets.js';
import {
  type DatasetRecipe,
  type PresetName,
  type PresetRecipe,
  presetNames,
  type TrainingPhase,
} from '../data/dataset-recipe.js';
import { ownImages } from '../data/datasets/recipes.js';
import { UsageError } from '../errors.js';
import { familyOf } from '../models/families.js';
import type { ModelOptions } from '../models/model-options.js';

export { type PresetName, type PresetRecipe, presetNames, type TrainingPhase };

/** What differs between the presets. */
const strengths = {
  fast: { warmup: 0.1, labelSmoothing: 0.05, emaDecay: null, mixup: 0, cutmix: 0 },
  standard: { warmup: 0.05, labelSmoothing: 0.1, emaDecay: null, mixup: 0, cutmix: 0 },
  best: { warmup: 0.05, labelSmoothing: 0.1, emaDecay: 0.9995, mixup: 0.8, cutmix: 1 },
} as const;

/**
 * @param dataset - a name of `openDataset`
 * @throws UsageError for an unknown preset or data set
 */
export function presetRecipe(
  preset: PresetName,
  dataset: string,
  phase: TrainingPhase,
): PresetRecipe {
  const recipe = recipeFor(preset, dataset);
  const { warmup, mixup, cutmix, ...strength } = strengths[preset];
  const epochs = recipe.epochs[phase][preset];
  const finetune = phase === 'finetune';
  return {
    epochs,
    batchSize: recipe.batchSize,
    optimizer: 'adamw',
    lr: finetune ? recipe.lr / 4 : recipe.lr,
    weightDecay: 0.05,
    schedule: 'cosine',
    warmupEpochs: Math.min(20, warmup * epochs),
    minLrFactor: 0.01,
    ...strength,
    clipGradNorm: 1,
    augment: finetune && recipe.augment[preset] === 'strong' ? 'standard' : recipe.augment[preset],
    // A pruned model has less to overfit with.
    mixup: finetune ? mixup / 4 : mixup,
    cutmix: finetune ? cutmix / 4 : cutmix,
    ...recipe.found?.[preset]?.[phase],
  };
}

/**
 * Options of a model that is trained anew by a preset.
 * @param arch - an architecture's name; the data set's file says what was found for its family
 * @throws as `presetRecipe`
 */
export function presetModelOptions(
  preset: PresetName,
  dataset: string,
  arch: string,
): Pick<ModelOptions, 'scan'> {
  return recipeFor(preset, dataset).models?.[familyOf(arch).name] ?? {};
}

/**
 * How a preset's new model has the images of a data set resized.
 * @returns undefined where that is as without a preset
 */
export const presetInterpolation = (
  preset: PresetName,
  dataset: string,
): DatasetRecipe['interpolation'] => recipeFor(preset, dataset).interpolation;

/** Of a data set that brings no recipe, that of images of one's own. */
function recipeFor(preset: PresetName, dataset: string): DatasetRecipe {
  if (!presetNames.includes(preset)) {
    throw new UsageError(`preset: got '${preset}', expected one of ${presetNames.join(', ')}`);
  }
  const all = datasetDefinitions();
  const definition = all.find(({ name }) => name === dataset);
  if (!definition) {
    throw new UsageError(
      `preset: got the data set '${dataset}', expected one of ${all.map(({ name }) => name).join(', ')}. ` +
        'Give the options of the training themselves.',
    );
  }
  return definition.recipe ?? ownImages;
}
