// A recipe over another number of epochs.
import type { RecipeSettings } from './settings.js';

/** Warm-up, plain epochs and milestones keep their share of the epochs. */
export function overEpochs(recipe: RecipeSettings, epochs: number): RecipeSettings {
  const { warmupEpochs, plainEpochs, milestones, plainAugment, ...rest } = recipe;
  const stretch = epochs / recipe.epochs;
  const plain = plainEpochs === undefined ? undefined : Math.round(plainEpochs * stretch);
  return {
    ...rest,
    epochs,
    ...(warmupEpochs !== undefined && { warmupEpochs: warmupEpochs * stretch }),
    ...(plain !== undefined && { plainEpochs: plain }),
    // None of few epochs may be plain.
    ...(plainAugment !== undefined && plain !== 0 && { plainAugment }),
    ...(milestones && { milestones: stretchedMilestones(milestones, recipe.epochs, epochs) }),
  };
}

/** With fractions: two that were rounded could fall together. Where nothing is trained they stay what they are. */
const stretchedMilestones = (
  milestones: readonly number[],
  before: number,
  epochs: number,
): readonly number[] =>
  epochs === 0 ? milestones : milestones.map((epoch) => (epoch * epochs) / before);
