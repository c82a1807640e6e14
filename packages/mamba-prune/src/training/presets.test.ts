import { describe, expect, it } from 'vitest';
import { augmentPreset } from '../data/index.js';
import { datasetNames } from '../data/datasets.js';
import { UsageError } from '../errors.js';
import { presetModelOptions, presetNames, presetRecipe } from './index.js';
import { presetInterpolation } from './presets.js';
import { resolveTrainOptions } from './options.js';

const phases = ['train', 'finetune'] as const;
const all = datasetNames().flatMap((dataset) => phases.map((phase) => ({ dataset, phase })));

describe('presetRecipe', () => {
  it.each(all)('has valid recipes that grow from fast to best: $dataset, $phase', (given) => {
    const { dataset, phase } = given;
    const side = { height: 32, width: 32 };
    const recipes = presetNames.map((preset) => presetRecipe(preset, dataset, phase));
    for (const { augment, mixup, cutmix, ...options } of recipes) {
      const augmented = { ...augmentPreset(augment, side), mixup, cutmix };
      const resolved = resolveTrainOptions({ ...options, augment: augmented }, side);
      expect(resolved).toMatchObject({ ...options, augment: augmented });
    }
    const epochs = recipes.map((recipe) => recipe.epochs);
    expect(epochs).toEqual([...epochs].sort((a, b) => a - b));
    expect(new Set(epochs).size).toBe(3);
    expect(recipes.map(({ emaDecay }) => emaDecay !== null)).toEqual([false, false, true]);
  });

  it.each(datasetNames())('fine-tunes more gently than it trains: %s', (dataset) => {
    for (const preset of presetNames) {
      const anew = presetRecipe(preset, dataset, 'train');
      const after = presetRecipe(preset, dataset, 'finetune');
      expect(after.epochs).toBeLessThan(anew.epochs);
      expect(after.lr).toBeLessThan(anew.lr);
      expect(after.mixup).toBeLessThanOrEqual(anew.mixup);
    }
  });

  it('gives CIFAR the recipe of the measured runs', () => {
    const best = presetRecipe('best', 'cifar10', 'train');
    // The options of the command in docs/results/dense-models.md.
    expect(best).toEqual({
      epochs: 245,
      batchSize: 512,
      optimizer: 'muon',
      lr: 4.5e-3,
      weightDecay: 0.05,
      schedule: 'cosine',
      warmupEpochs: 5,
      minLrFactor: 0,
      labelSmoothing: 0.1,
      clipGradNorm: 1,
      emaDecay: 0.998,
      augment: 'strong',
      mixup: 0.2,
      cutmix: 0.5,
      plainEpochs: 15,
    });
    expect(presetRecipe('best', 'cifar100', 'train')).toEqual({ ...best, epochs: 150 });
  });

  it('gives ImageNet the published recipe of vision Mambas', () => {
    const best = presetRecipe('best', 'imagenet', 'train');
    expect(best).toMatchObject({
      epochs: 300,
      batchSize: 1024,
      lr: 1e-3,
      minLrFactor: 0.01,
      labelSmoothing: 0.1,
      mixup: 0.8,
      cutmix: 1,
      augment: 'imagenet-strong',
    });
    expect(augmentPreset(best.augment, { height: 224, width: 224 })).toMatchObject({
      resizedCrop: { resize: 'pillow' },
      randAugment: { ops: 2, magnitude: 9 },
      erasing: 0.25,
    });
    const filters = datasetNames().map((name) => presetInterpolation('standard', name));
    expect(filters.filter((filter) => filter !== undefined)).toEqual(['bicubic']);
  });

  it('mirrors no digits', () => {
    for (const preset of presetNames) {
      const { augment } = presetRecipe(preset, 'mnist', 'train');
      expect(augmentPreset(augment, { height: 28, width: 28 }).flip ?? false).toBe(false);
    }
  });

  it('refuses unknown names', () => {
    const call = (preset: string, dataset: string) => () =>
      presetRecipe(preset as 'fast', dataset, 'train');
    expect(call('slow', 'cifar10')).toThrow(/got 'slow', expected one of fast, standard, best/);
    expect(call('fast', 'svhn')).toThrow(/got the data set 'svhn', expected one of fashion-mnist/);
    expect(call('fast', 'toString')).toThrow(UsageError);
  });
});

describe('presetModelOptions', () => {
  it('lets a vision Mamba take turns in four directions on CIFAR-10, where that was measured', () => {
    expect(presetModelOptions('best', 'cifar10', 'mamba_small')).toEqual({ scan: 'cross' });
    expect(presetModelOptions('best', 'cifar10', 'resnet20')).toEqual({});
    expect(presetModelOptions('best', 'fashion-mnist', 'mamba_small')).toEqual({});
    expect(() => presetModelOptions('best', 'cifar11', 'mamba_small')).toThrow(UsageError);
  });
});
