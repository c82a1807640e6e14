import { describe, expect, it } from 'vitest';
import { presetRecipe } from '../../training/presets.js';
import { recipeOf } from './recipe.js';

const train = { epochs: 30, lr: 1e-3, phase: 'train' } as const;
const tune = { epochs: 0, lr: 5e-4, phase: 'finetune' } as const;

describe('a recipe', () => {
  it('has defaults where nothing is typed', () => {
    expect(recipeOf({}, 7, train, 'cifar10')).toMatchObject({
      epochs: 30,
      lr: 1e-3,
      warmupEpochs: 3,
      seed: 7,
      augment: 'standard',
    });
    expect(recipeOf({ optimizer: 'sgd' }, 0, train, 'cifar10').lr).toBeCloseTo(0.1, 15);
    expect(recipeOf({ milestones: [3, 4] }, 0, train, 'cifar10')).toMatchObject({
      schedule: 'multistep',
      milestones: [3, 4],
    });
    const plain = recipeOf({ plainEpochs: 5, plainAugment: 'standard' }, 0, tune, 'cifar10');
    expect(plain).toMatchObject({ plainEpochs: 5, plainAugment: 'standard', epochs: 0 });
  });

  it('takes a momentum with sgd alone', () => {
    expect(recipeOf({ optimizer: 'sgd', momentum: 0.8 }, 0, train, 'cifar10').momentum).toBe(0.8);
    for (const optimizer of [undefined, 'adamw', 'muon'] as const) {
      const name = optimizer ?? 'adamw';
      expect(() =>
        recipeOf({ ...(optimizer && { optimizer }), momentum: 0.8 }, 0, train, 'cifar10'),
      ).toThrow(`got --momentum, which belongs to --optimizer sgd, not ${name}. Leave it out.`);
    }
  });

  it('is the preset of the data set and the phase', () => {
    for (const defaults of [train, tune]) {
      expect(recipeOf({ preset: 'best' }, 3, defaults, 'cifar10')).toEqual({
        ...presetRecipe('best', 'cifar10', defaults.phase),
        seed: 3,
      });
    }
  });

  it('goes by what is typed over the preset', () => {
    const preset = presetRecipe('standard', 'cifar10', 'train');
    const typed = recipeOf({ preset: 'standard', epochs: 10, lr: 0.5 }, 0, train, 'cifar10');
    expect(typed).toMatchObject({ epochs: 10, lr: 0.5, weightDecay: preset.weightDecay });
    // The warm-up keeps its share of the epochs.
    expect(typed.warmupEpochs).toBeCloseTo((preset.warmupEpochs / preset.epochs) * 10, 12);
    // Rates and decays of AdamW mean nothing to SGD, which has its own.
    const sgd = recipeOf({ preset: 'standard', optimizer: 'sgd' }, 0, train, 'cifar10');
    expect([sgd.optimizer, sgd.lr, sgd.weightDecay]).toEqual(['sgd', undefined, undefined]);
  });

  it('is that of another run, whose milestones keep their share and whose momentum is of its optimizer', () => {
    const recipe = {
      epochs: 30,
      optimizer: 'sgd',
      lr: 0.1,
      momentum: 0.8,
      milestones: [10, 25],
    } as const;
    const from = { ...tune, recipe };
    expect(recipeOf({}, 2, from, 'cifar10')).toEqual({ ...recipe, seed: 2 });
    expect(recipeOf({ epochs: 60 }, 2, from, 'cifar10')).toMatchObject({ milestones: [20, 50] });
    const adamw = recipeOf({ optimizer: 'adamw' }, 2, from, 'cifar10');
    expect([adamw.lr, adamw.momentum]).toEqual([undefined, undefined]);
  });

  it('leaves out what means nothing beside the typed optimizer, schedule and plain epochs', () => {
    const recipe = {
      epochs: 30,
      optimizer: 'sgd',
      nesterov: true,
      schedule: 'multistep',
      milestones: [10, 25],
      gamma: 0.3,
      plainEpochs: 5,
      plainAugment: 'standard',
    } as const;
    const from = { ...tune, recipe };
    const cosine = recipeOf({ schedule: 'cosine' }, 0, from, 'cifar10');
    expect(Object.keys(cosine)).not.toContain('milestones');
    expect(Object.keys(cosine)).not.toContain('gamma');
    expect(recipeOf({ milestones: [5] }, 0, from, 'cifar10')).toMatchObject({
      milestones: [5],
      gamma: 0.3,
    });
    expect(recipeOf({ optimizer: 'muon' }, 0, from, 'cifar10')).not.toHaveProperty('nesterov');
    expect(recipeOf({ plainEpochs: 0 }, 0, from, 'cifar10')).not.toHaveProperty('plainAugment');
    // A program need not name AdamW.
    const unnamed = { ...tune, recipe: { epochs: 30, lr: 3e-3 } };
    expect(recipeOf({ optimizer: 'adamw' }, 0, unnamed, 'cifar10').lr).toBe(3e-3);
    expect(recipeOf({ optimizer: 'sgd' }, 0, unnamed, 'cifar10')).not.toHaveProperty('lr');
  });
});
