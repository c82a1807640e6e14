import type { ImageModel } from '../models/image-model.js';
import type { KeptUnits } from '../models/groups.js';
import type { Calibration } from './calibration.js';
import type { BudgetSolution } from './budget/solve.js';
import { requirePrunable } from '../models/require-model.js';
import { type CutOptions, scoreAndSelect } from './select-units.js';
import { pruneModel } from './surgery.js';

export interface PruningResult {
  /** A new model; the one that was given is left as it is. */
  readonly model: ImageModel;
  readonly kept: KeptUnits;
  /** Of a cost budget: the rates that it came to, and what the model costs now. */
  readonly solution?: BudgetSolution | undefined;
}

/**
 * Scores every unit, keeps the best, and cuts the rest out, once.
 * @param calibration - images for importances and scores that look at them, such as taylor; `calibrationOf` makes them of
 *   a data set
 * @throws what `chooseUnits` throws
 */
export async function pruneOneShot(
  model: ImageModel,
  options: CutOptions,
  calibration?: Calibration,
): Promise<PruningResult> {
  requirePrunable('pruneOneShot', model);
  const { kept, solution } = await scoreAndSelect(model, options, calibration);
  return { model: pruneModel(model, kept), kept, ...(solution && { solution }) };
}
