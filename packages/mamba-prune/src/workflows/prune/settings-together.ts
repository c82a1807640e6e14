// Settings of a pruning that each make sense, but not with each other.
import { checksOf } from '../../checks.js';
import { UsageError } from '../../errors.js';
import { checkGroupLimits } from '../../pruning/group-limits.js';
import { rankMeasures } from '../../pruning/ranking.js';
import { checkNoRewind } from './compensate-settings.js';
import { checkCostBudget } from './cost-budget-settings.js';
import type { ResolvedPruneSettings } from './settings.js';

const { oneOf } = checksOf('prune');

/** @throws UsageError naming both */
export function checkTogether(settings: ResolvedPruneSettings): void {
  const { rewind, recipe, distill, rates, rsst, compensate } = settings;
  if (compensate) checkNoRewind(rewind);
  if (Object.keys(rates).length === 0) {
    throw new UsageError(
      'prune: got no rates, expected one for each kind to cut, such as ssm: 0.7.',
    );
  }
  if (recipe.epochs === 0) {
    if (rewind !== 'none') {
      throw needsTraining(
        `rewind ${rewind}`,
        'weights of an earlier time are there to be trained on',
      );
    }
    if (distill && !distill.through)
      throw needsTraining('distillation', 'the teacher is heard in training only');
    if (rsst?.lrThrough) {
      throw needsTraining('`lrThrough`', 'the learning rate goes on where it was before the cut');
    }
  }
  if (rsst?.lrThrough && rewind !== 'none') {
    throw new UsageError(
      `prune: got \`lrThrough\` with \`rewind\` ${rewind}, expected \`rewind\` none: the optimizer's state that goes on belongs to ` +
        'the weights as they are. Leave one of the two out.',
    );
  }
  if (rsst?.units === 'doomed' && rsst.nearZero !== null) {
    throw new UsageError(
      'prune: got `nearZero` with `rsst.units` doomed, expected rates: they say which units are doomed. ' +
        'Leave `nearZero` out, or regularise all units.',
    );
  }
  checkLimits(settings);
}

function checkLimits(settings: ResolvedPruneSettings): void {
  const { rateOf, minWidth, rsst, rankBy, ranking } = settings;
  checkGroupLimits({ rateOf, minWidth });
  checkCostBudget(settings);
  if (rankBy !== undefined) oneOf('rankBy', rankBy, rankMeasures);
  if (rankBy === 'score-per-cost' && ranking === 'layer') {
    throw new UsageError(
      'prune: got `rankBy` score-per-cost with `ranking` layer, expected global: all units of a group cost the same. ' +
        'Leave one of the two out.',
    );
  }
  if (rsst?.nearZero == null) return;
  const own = Object.entries(rateOf ?? {}).find(([, rate]) => rate > 0);
  if (own === undefined && minWidth === undefined) return;
  throw new UsageError(
    `prune: got ${own ? `the rate ${own[1]} of ${own[0]}` : '`minWidth`'} with \`nearZero\`, expected none: it deletes as ` +
      'many units as there are. Leave `nearZero` out, or exclude whole groups (a rate of 0 in `rateOf`).',
  );
}

function needsTraining(what: string, why: string): UsageError {
  return new UsageError(
    `prune: got ${what} with 0 epochs, expected training after the cut: ${why}.`,
  );
}
