// What a measurement of sensitivity is told, and its defaults.
import { checksOf } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { Family } from '../../models/family.js';
import type { ImportOptions } from '../../models/import/model.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { Precision } from '../../precision.js';
import { type Amount, checkAmount, limitOf } from '../../pruning/budget/amounts.js';
import {
  type ImportanceName,
  type UnitScore,
  checkImportance,
  defaultImportance,
  defaultScore,
  defaultScoreBatches,
  unitScores,
} from '../../pruning/importances.js';
import type { CostLimit } from '../../pruning/sensitivity/allocate.js';
import { type CostMetric, costMetrics } from '../../pruning/sensitivity/curve.js';
import { type Sensitivity, defaultSensitivityRates } from '../../pruning/sensitivity/measure.js';
import {
  type GroupSizes,
  type SensitivityBy,
  sensitivityParts,
} from '../../pruning/sensitivity/parts.js';
import { sum } from '../../statistics.js';
import {
  type CompensateSettings,
  type ResolvedCompensateSettings,
  resolveCompensate,
} from '../prune/compensate-settings.js';
import { type SearchMethod, searchMethods } from './file.js';

/** What a cut model may cost. */
export interface CostTarget {
  readonly metric: CostMetric;
  /** Units of the measured groups, multiply-accumulates of one image, or parameters; or a share of those of the whole model: `'0.3x'`. */
  readonly amount: Amount;
}

export interface SearchSettings {
  readonly method: SearchMethod;
  readonly target: CostTarget;
  /** Largest share that a group may lose. By default the largest rate that is measured. */
  readonly maxRate?: number | undefined;
}

export interface SensitivitySettings {
  /** The model's file: one of ours, or anything that `importModel` reads. */
  readonly model: string;
  /** What a file of another program does not tell of its model. */
  readonly import?: ImportOptions | undefined;
  readonly dataset: string;
  /** Its folder. */
  readonly data?: string | undefined;
  /** Where the held-out images come from. Default `train`: the test images stay for the end. */
  readonly split?: 'train' | 'test' | undefined;
  /** Held-out images, evenly over the classes. Default `2000`. */
  readonly images?: number | undefined;
  /** What is cut together. Default `group`. */
  readonly by?: SensitivityBy | undefined;
  /** Default `[0.3, 0.5, 0.7, 0.9]`. */
  readonly rates?: readonly number[] | undefined;
  /** Kinds of groups. By default all that are not optional. */
  readonly kinds?: readonly string[] | undefined;
  /** Default `1`. */
  readonly roundTo?: number | undefined;
  /** As in `PruneSettings`: by default that of the model's family, and of a measurement that is gone on with its own. */
  readonly importance?: ImportanceName | undefined;
  /** Default `consumer`. */
  readonly score?: UnitScore | undefined;
  /** Batches of 64 images for scores that need real data. Default `8`. */
  readonly scoreBatches?: number | undefined;
  /** Of the choice of images, and of the evolutionary search. Default `0`. */
  readonly seed?: number | undefined;
  /** Default `auto`. */
  readonly precision?: Precision | undefined;
  /** After each cut, before the model is measured. By default not at all. */
  readonly compensate?: CompensateSettings | undefined;
  /**
   * Batches of 128 images over which batch normalisation is measured again after each cut; 0: not at all. By default 8 where
   * the model has batch normalisation and there are at least 256 training images.
   */
  readonly bnBatches?: number | undefined;
  /** After the measurement; by default none. */
  readonly search?: SearchSettings | undefined;
}

const settingsKinds: OptionKinds<SensitivitySettings> = {
  model: 'string',
  import: 'object',
  dataset: 'string',
  data: 'string',
  split: 'any',
  images: 'any',
  by: 'any',
  rates: 'any',
  kinds: 'any',
  roundTo: 'any',
  importance: 'any',
  score: 'any',
  scoreBatches: 'any',
  seed: 'any',
  precision: 'any',
  compensate: 'object',
  bnBatches: 'any',
  search: 'object',
};

type Decided =
  | 'split'
  | 'images'
  | 'by'
  | 'rates'
  | 'roundTo'
  | 'importance'
  | 'score'
  | 'scoreBatches'
  | 'seed'
  | 'bnBatches'
  | 'precision';

export type ResolvedSensitivitySettings = Omit<SensitivitySettings, Decided | 'compensate'> & {
  readonly compensate: ResolvedCompensateSettings | undefined;
} & {
  readonly [K in Decided]-?: Exclude<SensitivitySettings[K], undefined>;
};

/**
 * Fills in the defaults and checks what can be checked without the model.
 * @param family - of the model, once it is known: units are chosen by what `prune` would choose them by
 * @throws UsageError naming the setting
 */
export function resolveSensitivity(
  given: SensitivitySettings,
  family: Pick<Family, 'importance'> = {},
): ResolvedSensitivitySettings {
  const where = 'sensitivity';
  requireOptions(where, given, settingsKinds, ['model', 'dataset']);
  const { number, integer, oneOf } = checksOf(where);
  const rates = (given.rates ?? defaultSensitivityRates).map((rate) =>
    number('rates', rate, { above: 0, below: 1 }),
  );
  if (rates.length === 0) throw new UsageError(`${where}: got no rates, expected at least one.`);
  const score = oneOf('score', given.score ?? defaultScore, unitScores);
  const importance = given.importance ?? defaultImportance(true, score, family.importance);
  checkImportance(importance);
  return {
    ...given,
    split: oneOf('split', given.split ?? 'train', ['train', 'test']),
    images: integer('images', given.images ?? 2000, { min: 1 }),
    by: oneOf('by', given.by ?? 'group', sensitivityParts),
    rates: [...new Set(rates)].sort((a, b) => a - b),
    roundTo: integer('roundTo', given.roundTo ?? 1, { min: 1 }),
    importance,
    score,
    scoreBatches: integer('scoreBatches', given.scoreBatches ?? defaultScoreBatches, { min: 1 }),
    seed: integer('seed', given.seed ?? 0, { min: 0 }),
    precision: oneOf('precision', given.precision ?? 'auto', ['auto', 'fp32', 'bf16']),
    compensate: given.compensate && resolveCompensate(given.compensate),
    bnBatches: integer('bnBatches', given.bnBatches ?? 0, { min: 0 }),
    search: given.search && checkedSearch(where, given.search),
  };
}

function checkedSearch(where: string, { method, target, maxRate }: SearchSettings): SearchSettings {
  const { number, oneOf } = checksOf(where);
  oneOf('search', method, searchMethods);
  if (maxRate !== undefined) number('maxRate', maxRate, { above: 0, below: 1 });
  oneOf('target: metric', target.metric, costMetrics);
  checkAmount(target.metric, target.amount);
  return { method, target, maxRate };
}

/** A target in numbers. @throws UsageError for an amount that is none, or that leaves the model whole */
export function limitOfTarget(
  { metric, amount }: CostTarget,
  {
    dense,
    parts,
  }: {
    readonly dense: Pick<Sensitivity['dense'], 'macs' | 'parameters'>;
    readonly parts: readonly Pick<GroupSizes, 'groups'>[];
  },
): CostLimit {
  const whole =
    metric === 'units' ? sum(parts.flatMap(({ groups }) => Object.values(groups))) : dense[metric];
  const most = limitOf(metric, amount, whole);
  if (most >= whole) {
    throw new UsageError(
      `budget: ${metric}: got ${amount}, but the whole model has ${whole}, expected less. Lower it.`,
    );
  }
  // Units are whole: as many stay as at a rate.
  return { metric, most: metric === 'units' ? Math.round(most) : most };
}
