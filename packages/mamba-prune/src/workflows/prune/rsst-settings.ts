// What a pruning run is told of RSST, with its defaults.
import { UsageError } from '../../errors.js';
import { plural } from '../../format.js';
import { checksOf } from '../../checks.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import {
  type RegApplication,
  type RegNorm,
  type RegUnits,
  regApplications,
  regNorms,
  regUnits,
  rsstDefaults,
} from '../../pruning/rsst/choices.js';
import {
  type RsstSchedule,
  defaultExponent,
  defaultSchedule,
  rsstSchedules,
} from '../../pruning/rsst/schedule.js';
import type { RecipeSettings } from '../settings.js';
import { type ThroughSettings, resolveThrough } from './through-settings.js';
import type { Whole } from './whole.js';

const { number, integer, oneOf } = checksOf('prune');

/** How units are driven to zero (method rsst). */
export interface RsstSettings extends ThroughSettings {
  /** Default `exp_custom_exponents`, under `shrink` `cosine`. */
  readonly schedule?: RsstSchedule;
  /** λ at the end of the regularised training. By default that of `rsstDefaults`. */
  readonly strength?: number;
  /** Default `4`. */
  readonly exponent?: number;
  /** Default `l1`, for doomed units `group`. */
  readonly norm?: RegNorm;
  /** Whether all units of the targets are regularised, or the `doomed`, those that are to go. Default `all`. */
  readonly units?: RegUnits;
  /** How the penalty reaches the weights. Default `loss`, for doomed units `proximal`. */
  readonly apply?: RegApplication;
  /** Epochs of regularised training before each cut. By default those of the recipe. */
  readonly epochs?: number;
  /**
   * Deletes the units whose norm is at most this share of the group's largest, however many they are;
   * the rates then only name the kinds. By default exactly the rates.
   */
  readonly nearZero?: number | null;
  /**
   * One training through the cut: the regularised epochs and those after the cut share one learning rate schedule,
   * and the optimizer's state and the averages of the kept units live on. Else each has a schedule of its own.
   * Default `false`; `pruneRun` begins a run by `lrThroughDefault`, where there is a training after the cut and no rewind.
   */
  readonly lrThrough?: boolean;
  /**
   * After every so many regularised epochs the doomed units are chosen anew, by the same importance; those that are
   * doomed no more are left alone from then on. By default once, before the first epoch. For units `doomed` alone.
   */
  readonly rechoose?: number | null;
}

/** Those of one training through its cuts are there where they are asked for. */
export type ResolvedRsst = Whole<Omit<RsstSettings, keyof ThroughSettings>> & ThroughSettings;

const rsstKinds: OptionKinds<RsstSettings> = {
  schedule: 'any',
  strength: 'any',
  exponent: 'any',
  norm: 'any',
  units: 'any',
  apply: 'any',
  epochs: 'any',
  nearZero: 'any',
  lrThrough: 'boolean',
  rechoose: 'any',
  cutAtZero: 'boolean',
  cuts: 'any',
};

/**
 * @param recipe - of the training after the cut
 * @param rounds - of the whole run
 * @throws UsageError naming the setting
 */
export function resolveRsst(
  given: RsstSettings,
  recipe: Pick<RecipeSettings, 'epochs'>,
  rounds = 1,
): ResolvedRsst {
  requireOptions('prune: rsst', given, rsstKinds);
  const { exponent = defaultExponent, nearZero = null } = given;
  const units = oneOf('rsst.units', given.units ?? 'all', regUnits);
  const doomed = units === 'doomed';
  const norm = oneOf('rsst.norm', given.norm ?? (doomed ? 'group' : 'l1'), regNorms);
  const defaults = rsstDefaults(doomed, norm, given.apply);
  const apply = oneOf('rsst.apply', defaults.apply, regApplications);
  if (apply === 'shrink') checkShrink(given, units);
  const regEpochs = given.epochs ?? recipe.epochs;
  if (regEpochs === 0) {
    throw new UsageError(
      'prune: got rsst with 0 epochs of regularised training, expected at least 1. Give `recipe.epochs` or `rsst.epochs`.',
    );
  }
  const { lrThrough = false } = given;
  const rechoose = resolveRechoose(given.rechoose ?? null, units, regEpochs);
  const others = { units, apply, lrThrough, epochs: regEpochs, rechoose, rounds };
  return {
    schedule: oneOf('rsst.schedule', given.schedule ?? defaultSchedule(apply), rsstSchedules),
    strength: number('rsst.strength', given.strength ?? defaults.strength, { min: 0 }),
    exponent: number('rsst.exponent', exponent, { above: 0 }),
    norm,
    units,
    apply,
    epochs: integer('rsst.epochs', regEpochs, { min: 1 }),
    // 1 would delete the largest too.
    nearZero: nearZero === null ? null : number('nearZero', nearZero, { min: 0, below: 1 }),
    lrThrough,
    rechoose,
    ...resolveThrough(given, others),
  };
}

function checkShrink({ schedule, strength = 1 }: RsstSettings, units: RegUnits): void {
  const problem =
    units !== 'doomed'
      ? `with \`rsst.units\` ${units}, expected doomed: all that is shrunk becomes zero`
      : strength !== 1
        ? `with \`rsst.strength\` ${strength}, expected none: the schedule alone says how much is left`
        : schedule === 'constant'
          ? 'with `rsst.schedule` constant, expected one that grows: nothing would be left after the first step'
          : undefined;
  if (problem === undefined) return;
  throw new UsageError(`prune: got \`rsst.apply\` shrink ${problem}.`);
}

function resolveRechoose(rechoose: number | null, units: RegUnits, epochs: number): number | null {
  if (rechoose === null) return null;
  integer('rechoose', rechoose, { min: 1 });
  if (units !== 'doomed') {
    throw new UsageError(
      `prune: got \`rechoose\` with \`rsst.units\` ${units}, expected doomed: where all units are regularised none is chosen ` +
        'before the cut. Leave `rechoose` out, or regularise the doomed units.',
    );
  }
  if (rechoose < epochs) return rechoose;
  throw new UsageError(
    `prune: rechoose: got ${rechoose}, expected fewer than the ${plural(epochs, 'regularised epoch')}. Lower it, or leave it out.`,
  );
}
