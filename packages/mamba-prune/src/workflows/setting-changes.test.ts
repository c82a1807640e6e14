import { describe, expect, it } from 'vitest';
import { settingChanges } from './setting-changes.js';

const recipe = { epochs: 3, lr: 0.01, milestones: [1, 2] };
const run = { arch: 'mamba_nano', model: { depth: 2 }, recipe };

describe('the settings that changed', () => {
  it('are named one by one, with nothing that stayed', () => {
    const now = { ...run, recipe: { ...recipe, lr: 0.1, milestones: [1] } };
    expect(settingChanges(now, run)).toEqual([
      'recipe.lr: got 0.1, expected 0.01',
      'recipe.milestones: got [1], expected [1,2]',
    ]);
    expect(settingChanges(run, run)).toEqual([]);
  });

  it('are those that one of the two does not have, too', () => {
    const now = { ...run, model: {}, seed: 3 };
    expect(settingChanges(now, run)).toEqual([
      'model.depth: got nothing, expected 2',
      'seed: got 3, expected nothing',
    ]);
    expect(settingChanges({ import: { depth: 3 } }, {})).toEqual([
      'import.depth: got 3, expected nothing',
    ]);
    expect(settingChanges({}, { import: {} })).toEqual(['import: got nothing, expected {}']);
    expect(settingChanges({ ...run, recipe: null }, run)).toEqual([
      `recipe: got null, expected {"epochs":3,"lr":0.01,"milestones":[1,2]}`,
    ]);
  });

  it('are of the names that are asked for, and all within them', () => {
    const now = { arch: 'vit_tiny', model: { depth: 2, heads: 3 } };
    expect(settingChanges(now, run, ['model'])).toEqual(['model.heads: got 3, expected nothing']);
  });
});
