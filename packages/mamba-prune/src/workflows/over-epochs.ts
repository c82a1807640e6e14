// A recipe over another number of epochs.
import type { RecipeSettings } from './settings.js';

/** Warm-up, plain epochs and milestones keep their share of the epochs. */
export function overEpochs(recipe: RecipeSettings, epochs: number): RecipeSettings {
  const { warmupEpochs, plainEpochs, milestones } = recipe;
  const stretch = epochs / recipe.epochs;
  const stretched = (epoch: number): number => Math.round(epoch * stretch);
  return {
    ...recipe,
    epochs,
    ...(warmupEpochs !== undefined && { warmupEpochs: warmupEpochs * stretch }),
    ...(plainEpochs !== undefined && { plainEpochs: stretched(plainEpochs) }),
    ...(milestones && { milestones: milestones.map(stretched) }),
  };
}
