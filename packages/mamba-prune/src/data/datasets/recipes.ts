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

/**
 * The recipe that was found on CIFAR by measurement, of a GPU. With Muon 15 epochs of CIFAR-10 came to 85.0%, with AdamW to
 * 81.8%, scanning `uni`; full mixup and cutmix want more epochs than these.
 * @param epochs - of a training anew
 */
export const foundOn = (epochs: number) =>
  ({
    train: {
      epochs,
      batchSize: 512,
      optimizer: 'muon',
      lr: 4.5e-3,
      warmupEpochs: 5,
      minLrFactor: 0,
      emaDecay: 0.998,
      mixup: 0.2,
      cutmix: 0.5,
      plainEpochs: 15,
    },
    finetune: {
      epochs: 42,
      batchSize: 512,
      optimizer: 'muon',
      lr: 2e-3,
      warmupEpochs: 4.2,
      minLrFactor: 0,
      emaDecay: 0.998,
      augment: 'strong',
      mixup: 0,
      cutmix: 0,
    },
  }) as const;

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
