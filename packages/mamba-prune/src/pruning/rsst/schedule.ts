/**
 * How hard RSST pulls as the training goes on: λ of the progress t = e/E, from 0 at the start to
 * `strength` at the end (Wang et al. 2021, arXiv 2012.09243, and Bai et al. 2022, arXiv 2203.04248, let
 * a penalty grow like this). An epoch's fractions count, so λ moves at every step.
 *
 *     x, x^2, x^3            strength t, strength t², strength t³
 *     exp                    strength (exp(t^p) - 1) / (e - 1)
 *     exp_custom             the same with p = 1
 *     exp_custom_exponents   strength t^p
 *     cosine                 strength (1 - cos(π t)) / 2
 *     constant               strength
 *
 * p is the exponent, by default 4; only `exp` and `exp_custom_exponents` have one. The names are
 * those of the original training script, but for cosine. It counts steps where these count the progress, and what it
 * computes for its exp_custom_exponents is what is called `exp` here; this one is t^p, as the name says.
 */
import { UsageError } from '../../errors.js';
import { todaysStrength } from '../earlier-names.js';
import type { RegApplication } from './choices.js';

export const rsstSchedules = [
  'x',
  'x^2',
  'x^3',
  'exp',
  'exp_custom',
  'exp_custom_exponents',
  'cosine',
  'constant',
] as const;

export type RsstSchedule = (typeof rsstSchedules)[number];

/** What is taken unless told: a penalty that grows late, or under `shrink` a way that begins and ends gently. */
export const defaultSchedule = (apply: RegApplication): RsstSchedule =>
  apply === 'shrink' ? 'cosine' : 'exp_custom_exponents';

/** Default of the exponent p. */
export const defaultExponent = 4;

export interface RsstStrength {
  /** λ at the end of the training; at least 0. */
  readonly strength: number;
  /** Above 0. Default `4`. */
  readonly exponent?: number | undefined;
}

/**
 * @param progress - share of the training that is done, 0 to 1
 * @throws UsageError for an unknown schedule, or a number out of range
 */
export function rsstLambda(schedule: RsstSchedule, given: RsstStrength, progress: number): number {
  const { strength, exponent = defaultExponent } = todaysStrength(given);
  checkStrength(schedule, { strength, exponent });
  if (!(progress >= 0 && progress <= 1)) {
    throw new UsageError(
      `rsst schedule: got a progress of ${progress}, expected the share of the training that is done, from 0 to 1`,
    );
  }
  return strength * shape(schedule, progress, exponent);
}

/**
 * The schedule `exp_custom_exponents`: strength (epoch / totalEpochs)^exponent.
 * @param epoch - epochs done, fractions allowed, 0 to `totalEpochs`
 * @throws UsageError for a number out of range
 */
export function rsstScheduleExp(
  epoch: number,
  totalEpochs: number,
  strength = 1e-4,
  exponent = defaultExponent,
): number {
  if (!(totalEpochs > 0 && epoch >= 0 && epoch <= totalEpochs)) {
    throw new UsageError(
      `rsst schedule: got epoch ${epoch} of ${totalEpochs}, expected one from 0 to the number of epochs`,
    );
  }
  return rsstLambda('exp_custom_exponents', { strength, exponent }, epoch / totalEpochs);
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
    case 'cosine':
      return (1 - Math.cos(Math.PI * t)) / 2;
    case 'constant':
      return 1;
  }
}

/** @throws UsageError for an unknown schedule, or a strength or exponent out of range */
export function checkStrength(
  schedule: string,
  { strength, exponent = defaultExponent }: RsstStrength,
): void {
  if (!rsstSchedules.some((known) => known === schedule)) {
    throw new UsageError(
      `rsst: schedule: got '${schedule}', expected one of ${rsstSchedules.join(', ')}`,
    );
  }
  if (!(strength >= 0 && strength < Infinity)) {
    throw new UsageError(`rsst: strength: got ${strength}, expected a number of at least 0`);
  }
  if (!(exponent > 0 && exponent < Infinity)) {
    throw new UsageError(`rsst: exponent: got ${exponent}, expected a number above 0`);
  }
}
