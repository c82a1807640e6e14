import { describe, expect, it } from 'vitest';
import { overEpochs } from './over-epochs.js';

describe('overEpochs', () => {
  it('keeps the shares of warm-up, plain epochs and milestones', () => {
    const recipe = { epochs: 10, warmupEpochs: 1, plainEpochs: 5, milestones: [3, 6] };
    expect(overEpochs(recipe, 20)).toEqual({
      epochs: 20,
      warmupEpochs: 2,
      plainEpochs: 10,
      milestones: [6, 12],
    });
    expect(overEpochs(recipe, 10)).toEqual(recipe);
  });

  it('keeps milestones apart in few epochs, and as they are in none', () => {
    const recipe = { epochs: 4, schedule: 'multistep', milestones: [2, 3] } as const;
    expect(overEpochs(recipe, 1).milestones).toEqual([0.5, 0.75]);
    expect(overEpochs(recipe, 0).milestones).toEqual([2, 3]);
  });

  it('leaves out the augmentation of plain epochs that are too few to be there', () => {
    const recipe = { epochs: 10, plainEpochs: 1, plainAugment: 'standard' };
    expect(overEpochs(recipe, 2)).toEqual({ epochs: 2, plainEpochs: 0 });
    expect(overEpochs(recipe, 5)).toEqual({ ...recipe, epochs: 5 });
  });
});
