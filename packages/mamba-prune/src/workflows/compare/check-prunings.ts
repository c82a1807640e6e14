// What the prunings of a comparison would refuse, found before a dense model is trained for hours.
import { UsageError } from '../../errors.js';
import { entriesWithinReach } from '../prune/budget-reach.js';
import { calibrationOf } from '../prune/calibration.js';
import { checkCut } from '../prune/check-cut.js';
import { compensationImages } from '../prune/compensation.js';
import { type PruneSettings, resolvePruneSettings } from '../prune/settings.js';
import type { Examined } from './examine.js';
import { type CompareSettings, type MethodRun, planRuns } from './settings.js';

/**
 * @param examined - with a model of the groups and widths that are pruned; its weights do not matter
 * @throws UsageError for what the runs of `prune` would refuse
 */
export function checkPrunings(settings: CompareSettings, examined: Examined): void {
  try {
    for (const run of onceOfEach(settings)) checkPruning(run.settings, examined);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(error.message.replace(/^prune: /, 'compare: '), { cause: error });
  }
}

/** Seeds change nothing of what may be refused. */
function onceOfEach(settings: CompareSettings): MethodRun[] {
  const prunings = planRuns(settings, '').filter((run) => run.command === 'prune');
  const byCut = new Map(prunings.map((run) => [`${run.method} ${run.rate}`, run]));
  return [...byCut.values()];
}

function checkPruning(given: PruneSettings, { model, info, dataset }: Examined): void {
  const settings = resolvePruneSettings(given);
  const { scoreBatches: batches, recipe, compensate, costBudget } = settings;
  const images = { device: 'cpu', seed: recipe.seed ?? 0, maxImages: recipe.maxTrainImages };
  // No image is read before someone asks for it.
  checkCut(model, settings, calibrationOf(dataset, { ...images, batches }));
  if (compensate) compensationImages(dataset, compensate, images);
  if (costBudget) entriesWithinReach(settings, { model, info });
}
