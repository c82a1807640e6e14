/**
 * How hard RSST pulls as the training goes on: λ of the progress t = e/E, from 0 at the start to
 * `base` at the end (Wang et al. 2021, arXiv 2012.09243, and Bai et al. 2022, arXiv 2203.04248, let
 * a penalty grow like this). An epoch's fractions count, so λ moves at every step.
 *
 *     x, x^2, x^3            base t, base t², base t³
 *     exp                    base (exp(t^p) - 1) / (e - 1)
 *     exp_custom             the same with p = 1
 *     exp_custom_exponents   base t^p
 *     constant               base
 *
 * p is the exponent, by default 4; only `exp` and `exp_custom_exponents` have one. The names are
 * those of the original training script. It counts steps where these count the progress, and what it
 * computes for its exp_custom_exponents is what is called `exp` here; this one has the plan's formula.
 */
import { UsageError } from '../../errors.js';

export const rsstSchedules = [
  'x',
  'x^2',
  'x^3',
  'exp',
  'exp_custom',
  'exp_custom_exponents',
  'constant',
] as const;

export type RsstSchedule = (typeof rsstSchedules)[number];

/** The plan's default. */
export const defaultExponent = 4;

export interface RsstStrength {
  /** λ at the end of the training; at least 0. */
  readonly base: number;
  /** Above 0. Default `4`. */
  readonly exponent?: number | undefined;
}

/**
 * @param progress - share of the training that is done, 0 to 1
 * @throws UsageError for an unknown schedule, or a number out of range
 */
export function rsstLambda(
  schedule: RsstSchedule,
  { base, exponent = defaultExponent }: RsstStrength,
  progress: number,
): number {
  checkStrength(schedule, { base, exponent });
  if (!(progress >= 0 && progress <= 1)) {
    throw new UsageError(
      `rsst schedule: got a progress of ${progress}, expected the share of the training that is done, from 0 to 1`,
    );
  }
  return base * shape(schedule, progress, exponent);
}

/**
 * The plan's schedule: base (epoch / totalEpochs)^exponent.
 * @param epoch - epochs done, fractions allowed, 0 to `totalEpochs`
 * @throws UsageError for a number out of range
 */
export function rsstScheduleExp(
  epoch: number,
  totalEpochs: number,
  base = 1e-4,
  exponent = defaultExponent,
): number {
  if (!(totalEpochs > 0 && epoch >= 0 && epoch <= totalEpochs)) {
    throw new UsageError(
      `rsst schedule: got epoch ${epoch} of ${totalEpochs}, expected one from 0 to the number of epochs`,
    );
  }
  return rsstLambda('exp_custom_exponents', { base, exponent }, epoch / totalEpochs);
}

/** From 0 to 1 as t does; `constant` is 1 throughout. */
function shape(schedule: RsstSchedule, t: number, exponent: number): number {
  switch (schedule) {
    case 'x':
      return t;
    case 'x^2':
      return t ** 2;
    case 'x^3':
      return t ** 3;
    case 'exp':
      // expm1 keeps its digits where t^p is tiny.
      return Math.expm1(t ** exponent) / (Math.E - 1);
    case 'exp_custom':
      return Math.expm1(t) / (Math.E - 1);
    case 'exp_custom_exponents':
      return t ** exponent;
    case 'constant':
      return 1;
  }
}

/** @throws UsageError for an unknown schedule, or a strength or exponent out of range */
export function checkStrength(
  schedule: string,
  { base, exponent = defaultExponent }: RsstStrength,
): void {
  if (!rsstSchedules.some((known) => known === schedule)) {
    throw new UsageError(
      `rsst schedule: got '${schedule}', expected one of ${rsstSchedules.join(', ')}`,
    );
  }
  if (!(base >= 0 && base < Infinity)) {
    throw new UsageError(`rsst strength: got ${base}, expected a number of at least 0`);
  }
  if (!(exponent > 0 && exponent < Infinity)) {
    throw new UsageError(`rsst exponent: got ${exponent}, expected a number above 0`);
  }
}
