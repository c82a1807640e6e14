/**
 * Mixup (Zhang et al. 2018, arXiv:1710.09412) and cutmix (Yun et al. 2019, arXiv:1905.04899), drawn
 * once per batch. Sample i is mixed with sample (i + shift) mod n, so nobody is mixed with itself.
 */
import { type Random, Stage } from '../random.js';
import type { ResolvedAugment } from './options.js';

export interface MixPlan {
  kind: 'none' | 'mixup' | 'cutmix';
  /** Share of the sample itself in pixels and targets; 1 - lambda is the partner's. */
  lambda: number;
  shift: number;
  /** cutmix: the partner's rectangle, ends excluded. */
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** A plan that mixes nothing. */
export function noMix(): MixPlan {
  return { kind: 'none', lambda: 1, shift: 0, left: 0, right: 0, top: 0, bottom: 0 };
}

/** Draws the plan of batch `batch` of `epoch` into `plan`. @param size - samples in the batch */
export function drawMix(
  plan: MixPlan,
  options: Pick<ResolvedAugment, 'mixup' | 'cutmix' | 'mixProbability'>,
  random: Random,
  key: { seed: number; epoch: number; batch: number },
  size: number,
  height: number,
  width: number,
): MixPlan {
  plan.kind = 'none';
  plan.lambda = 1;
  plan.shift = 0;
  const { mixup, cutmix } = options;
  if (size < 2 || (mixup === 0 && cutmix === 0)) return plan;
  random.seed(key.seed, Stage.mix, key.epoch, key.batch);
  // Everything is drawn whether used or not, so that each number has a fixed place.
  const applies = random.uniform() < options.mixProbability;
  const cut = random.uniform() < (mixup === 0 ? 1 : cutmix === 0 ? 0 : 0.5);
  plan.shift = 1 + random.below(size - 1);
  const x = random.below(width);
  const y = random.below(height);
  if (!applies) return plan;
  plan.lambda = random.symmetricBeta(cut ? cutmix : mixup);
  plan.kind = cut ? 'cutmix' : 'mixup';
  if (!cut) return plan;
  const side = Math.sqrt(1 - plan.lambda);
  const halfWidth = Math.floor((width * side) / 2);
  const halfHeight = Math.floor((height * side) / 2);
  plan.left = Math.max(0, x - halfWidth);
  plan.right = Math.min(width, x + halfWidth);
  plan.top = Math.max(0, y - halfHeight);
  plan.bottom = Math.min(height, y + halfHeight);
  // What was cut off at the border counts for the sample itself.
  const area = (plan.right - plan.left) * (plan.bottom - plan.top);
  plan.lambda = 1 - area / (width * height);
  return plan;
}
