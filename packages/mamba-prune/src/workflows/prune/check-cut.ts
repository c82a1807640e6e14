// Whether what a pruning is told goes with its model: found before anything is written or trained.
import { UsageError } from '../../errors.js';
import { hasBatchNorm } from '../../models/batch-norm.js';
import type { ImageModel } from '../../models/image-model.js';
import type { Calibration } from '../../pruning/calibration.js';
import { hasReader } from '../../pruning/compensation/readers.js';
import { checkOwnRates } from '../../pruning/group-limits.js';
import { checkRefill } from '../../pruning/refill.js';
import { checkScoring } from '../../pruning/score-units.js';
import { groupsOfKinds } from '../../pruning/select-units.js';
import { checkSelection } from '../../pruning/selection.js';
import { cutOptions } from './choose-round-units.js';
import { type ResolvedPruneSettings, scoresUnits } from './settings.js';

/** @throws UsageError for kinds, rates, scores, compensation or batches that do not go with the model */
export function checkCut(
  model: ImageModel,
  settings: ResolvedPruneSettings,
  calibration: Calibration | undefined,
): void {
  const { rates, refill, bnBatches, compensate } = settings;
  const options = cutOptions(settings, rates);
  const groups = groupsOfKinds(model, Object.keys(rates));
  for (const [kind, rate] of Object.entries(rates)) checkSelection({ ...options, rate }, kind);
  checkOwnRates(model.pruningGroups(), Object.keys(rates), settings.rateOf);
  if (scoresUnits(settings)) checkScoring(groups, options, calibration);
  if (refill) {
    const { fillback, score: refillScore, budget } = refill;
    const names = { score: '`refill.score`', budget: '`refill.budget`' };
    checkRefill(model, { ...options, fillback, refillScore, budget }, calibration, names);
  }
  if (compensate && !groups.some(hasReader)) {
    throw new UsageError(
      `prune: got \`compensate\`, but groups of the kind ${Object.keys(rates).join(' or ')} are read by no weights of their own that could ` +
        'make up for removed units. Leave `compensate` out, or cut another kind too.',
    );
  }
  if (bnBatches > 0 && !hasBatchNorm(model)) {
    throw new UsageError(
      `prune: got ${bnBatches} batches to measure batch normalisation again, but ${model.config.arch} has none. Leave \`bnBatches\` out.`,
    );
  }
}
