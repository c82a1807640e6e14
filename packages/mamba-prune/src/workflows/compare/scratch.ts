// Training from random weights at the size of a pruned model: whether the weights that a pruning keeps are worth anything.
// Loads no native code.
import { join } from 'node:path';
import { overEpochs } from '../over-epochs.js';
import { isDone, readPruningRecord } from '../prune/record.js';
import type { RecipeSettings, TrainSettings } from '../settings.js';
import type { ScratchRun } from './settings.js';

/**
 * The dense recipe over the epochs of the dense training and those after it together.
 * @param lr - in place of the recipe's
 */
export function scratchRecipe(
  dense: RecipeSettings,
  further: number,
  lr: number | undefined,
): RecipeSettings {
  return { ...overEpochs(dense, dense.epochs + further), ...(lr !== undefined && { lr }) };
}

/**
 * The settings of the run with the widths that its one-shot run left.
 * @param folder - of the comparison
 * @returns undefined while that run has not ended
 * @throws DataError if the record of that run is damaged
 */
export function scratchSettings(run: ScratchRun, folder: string): TrainSettings | undefined {
  const record = readPruningRecord(join(folder, run.after));
  if (!isDone(record)) return undefined;
  return { ...run.settings, widths: record.widthsAfter };
}
