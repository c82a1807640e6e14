// Recipes that several data sets share.
import type { DatasetRecipe } from '../dataset-recipe.js';

/** Of colour pictures of 32 px or so, at 391 steps an epoch. */
export const smallPictures: DatasetRecipe = {
  batchSize: 128,
  lr: 1e-3,
  epochs: {
    train: { fast: 20, standard: 100, best: 300 },
    finetune: { fast: 5, standard: 30, best: 100 },
  },
  augment: { fast: 'standard', standard: 'standard', best: 'strong' },
};

/** One channel, and easy: a few epochs without augmentation leave nothing to overfit. */
export const greyPictures: DatasetRecipe = {
  batchSize: 128,
  lr: 1e-3,
  epochs: {
    train: { fast: 3, standard: 20, best: 100 },
    finetune: { fast: 1, standard: 8, best: 40 },
  },
  augment: { fast: 'none', standard: 'standard', best: 'standard' },
};

/**
 * Of images of one's own, and of data sets that bring no recipe. Often few images: more epochs, and the crops that
 * photographs of any framing need.
 */
export const ownImages: DatasetRecipe = {
  batchSize: 64,
  lr: 5e-4,
  epochs: {
    train: { fast: 30, standard: 100, best: 300 },
    finetune: { fast: 10, standard: 40, best: 100 },
  },
  augment: { fast: 'standard', standard: 'imagenet', best: 'imagenet' },
};
