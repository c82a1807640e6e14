// What a pruning run is told: the settings, their defaults, and what can be wrong with them before
// any model is loaded.
import { UsageError } from '../../errors.js';
import type { ImportOptions } from '../../models/import/model.js';
import { checksOf } from '../../checks.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import type { MinWidth } from '../../pruning/group-limits.js';
import {
  type ImportanceName,
  type UnitScore,
  checkImportance,
  defaultScore,
  defaultScoreBatches,
  needForImages as needOfChoice,
  unitScores,
} from '../../pruning/importances.js';
import {
  type RefillBudget,
  type RefillScore,
  refillBudgets,
  refillScores,
} from '../../pruning/refill-choices.js';
import {
  type Ranking,
  type SelectionOptions,
  normalizations,
  rankings,
} from '../../pruning/selection.js';
import type { DataSettings } from '../fit.js';
import type { RankMeasure } from '../../pruning/ranking.js';
import type { CostBudgetSettings } from './cost-budget-settings.js';
import {
  type CompensateSettings,
  type ResolvedCompensateSettings,
  resolveCompensate,
} from './compensate-settings.js';
import { todaysSettings } from './earlier-names.js';
import {
  type ImportanceReason,
  decideImportance,
  importanceReasons,
  isUnused,
} from './importance-choice.js';
import { type Rewind, parseRewind } from './rewind-time.js';
import { type ResolvedRsst, type RsstSettings, resolveRsst } from './rsst-settings.js';
import { checkTogether } from './settings-together.js';
import { hasCuts } from './through-settings.js';
import type { Whole } from './whole.js';
import type { RecipeSettings } from '../settings.js';

const { number, integer, oneOf } = checksOf('prune');

export type { RsstSettings } from './rsst-settings.js';

export const pruneMethods = ['oneshot', 'refill', 'rsst'] as const;
export type PruneMethod = (typeof pruneMethods)[number];

/** How the units that come back are chosen (method refill). */
export interface RefillSettings {
  /** Share of the removed units that returns, 0 to 1. */
  readonly fillback: number;
  /** Default `magnitude`. */
  readonly score?: RefillScore;
  /** Default `add`. */
  readonly budget?: RefillBudget;
}

/** The dense model teaches during the fine-tuning. */
export interface DistillSettings {
  /** Share of the teacher in the loss, above 0 up to 1. */
  readonly weight: number;
  /** Default `1`. */
  readonly temperature?: number;
  /** Whether it teaches in RSST's regularised epochs too. Default `false`: these learn from the labels. */
  readonly through?: boolean;
}

export interface PruneSettings extends Partial<Omit<DataSettings, 'dataset'>> {
  /** None: only cut, and measure nothing. */
  readonly dataset?: string | undefined;
  /** The model: anything that `openModel` takes. */
  readonly model: string;
  /** What a file of another program does not tell of its model. */
  readonly import?: ImportOptions | undefined;
  readonly method: PruneMethod;
  /** Share to remove of each kind of group, over all rounds together (but see `perRound`). */
  readonly rates: Readonly<Record<string, number>>;
  /** Default `1`. */
  readonly rounds?: number;
  /** Each round removes the rates of what is left, in place of all rounds together. */
  readonly perRound?: boolean;
  /** Weights that the kept units go back to before they train on. Default `none`. */
  readonly rewind?: Rewind;
  /**
   * A built-in one, or one that `registerImportance` was told. By default by the inputs: `taylor` with a data set, `l1`
   * without one (`defaultImportance`). A run keeps what it began with.
   */
  readonly importance?: ImportanceName | undefined;
  /** Why the importance is what it is. By default found, and kept in config.json. */
  readonly importanceReason?: ImportanceReason | undefined;
  /** Default `consumer`. */
  readonly score?: UnitScore;
  /** Batches of 64 images for scores that need real data. Default `8`. */
  readonly scoreBatches?: number;
  readonly ranking: Ranking;
  readonly normalize: NonNullable<SelectionOptions['normalize']>;
  readonly roundTo: number;
  readonly maxRate: number;
  /**
   * Share to remove of single groups, by name, over all rounds together (but see `perRound`): they are cut at that
   * rate and leave the ranking, and 0 leaves them whole. By default none.
   */
  readonly rateOf?: Readonly<Record<string, number>> | undefined;
  /** The least units that every group keeps: a count, or a share of its first width such as `'10%'`. Default `1`. */
  readonly minWidth?: MinWidth | undefined;
  /** In place of rates, which then are 0 and name the kinds: what the pruned model may cost at most. */
  readonly costBudget?: CostBudgetSettings | undefined;
  /** `score-per-cost` divides scores by what the removal of a unit saves, and ranks all kinds together. Default `score`. */
  readonly rankBy?: RankMeasure | undefined;
  /** Of the method refill. */
  readonly refill?: RefillSettings | undefined;
  /** Of the method rsst. */
  readonly rsst?: RsstSettings | undefined;
  readonly distill?: DistillSettings | undefined;
  /** By default not at all. */
  readonly compensate?: CompensateSettings | undefined;
  /**
   * Batches over which batch normalisation is measured again after a cut; 0: not at all. By default 16 where the model has
   * batch normalisation and there is a data set: the statistics of before are those of other inputs.
   */
  readonly bnBatches?: number;
  /** Name of the preset that the recipe came from. */
  readonly preset?: string | undefined;
  /** Training after each cut; `epochs: 0` only cuts. */
  readonly recipe: RecipeSettings;
}

/** Settings as a run is told them. */
export interface PruneRequest extends Omit<PruneSettings, 'normalize' | 'roundTo' | 'maxRate'> {
  /** Default `mean`. */
  readonly normalize?: PruneSettings['normalize'] | undefined;
  /** Default `1`. */
  readonly roundTo?: number | undefined;
  /** Default `1`. */
  readonly maxRate?: number | undefined;
}

export const pruneSettingsKinds: OptionKinds<PruneSettings> = {
  dataset: 'string',
  data: 'string',
  imageSize: 'number',
  cachedSize: 'number',
  model: 'string',
  import: 'object',
  method: 'any',
  rates: 'object',
  rounds: 'any',
  perRound: 'boolean',
  rewind: 'any',
  importance: 'any',
  importanceReason: 'any',
  score: 'any',
  scoreBatches: 'any',
  ranking: 'any',
  normalize: 'any',
  roundTo: 'number',
  maxRate: 'number',
  rateOf: 'object',
  minWidth: 'any',
  costBudget: 'object',
  rankBy: 'any',
  refill: 'object',
  rsst: 'object',
  distill: 'object',
  compensate: 'object',
  bnBatches: 'any',
  preset: 'string',
  recipe: 'object',
};

type Defaulted =
  | 'importance'
  | 'importanceReason'
  | 'rounds'
  | 'perRound'
  | 'rewind'
  | 'score'
  | 'scoreBatches'
  | 'bnBatches';

/** Every setting decided. */
export type ResolvedPruneSettings = Omit<
  PruneSettings,
  Defaulted | 'refill' | 'rsst' | 'distill' | 'compensate'
> &
  Whole<Pick<PruneSettings, Defaulted>> & {
    readonly refill: Whole<RefillSettings> | undefined;
    readonly rsst: ResolvedRsst | undefined;
    readonly distill: Whole<DistillSettings> | undefined;
    readonly compensate: ResolvedCompensateSettings | undefined;
  };

/**
 * Fills in the defaults and checks every setting that can be checked without the model.
 * @throws UsageError naming the setting
 */
export function resolvePruneSettings(given: PruneSettings): ResolvedPruneSettings {
  const settings = todaysSettings(given);
  requireOptions('prune', settings, pruneSettingsKinds, ['model', 'rates', 'recipe']);
  const { method, refill, rsst, distill, compensate } = settings;
  oneOf('method', method, pruneMethods);
  const { importance, importanceReason } = decideImportance(settings);
  if (method !== 'refill' && refill) throw foreign('refill', method);
  if (method !== 'rsst' && rsst) throw foreign('rsst', method);
  const resolved: ResolvedPruneSettings = {
    ...settings,
    // Every cut within one training is a round of the record.
    rounds: integer('rounds', hasCuts(rsst) ? rsst.cuts : (settings.rounds ?? 1), { min: 1 }),
    perRound: settings.perRound ?? false,
    rewind: parseRewind(settings.rewind ?? 'none'),
    importance: importanceNamed(importance),
    importanceReason: isUnused(settings)
      ? 'unused'
      : oneOf('importanceReason', importanceReason ?? 'given', importanceReasons),
    score: oneOf('score', settings.score ?? defaultScore, unitScores),
    scoreBatches: integer('scoreBatches', settings.scoreBatches ?? defaultScoreBatches, { min: 1 }),
    ranking: oneOf('ranking', settings.ranking, rankings),
    normalize: oneOf('normalize', settings.normalize, normalizations),
    bnBatches: integer('bnBatches', settings.bnBatches ?? 0, { min: 0 }),
    refill: method === 'refill' ? resolveRefill(refill) : undefined,
    rsst: method === 'rsst' ? resolveRsst(rsst ?? {}, settings.recipe, settings.rounds) : undefined,
    distill: distill && resolveDistill(distill, method),
    compensate: compensate && resolveCompensate(compensate),
  };
  checkTogether(resolved);
  return resolved;
}

/** What needs passes over real images, in words; undefined if nothing does. */
export function needForImages(settings: ResolvedPruneSettings): string | undefined {
  const { importance, score, refill } = settings;
  return needOfChoice({
    ...(scoresUnits(settings) && { importance, score }),
    refillScore: refill?.score,
  });
}

/** Whether units are ranked by their importance: RSST's cut goes by the norm that it regularised. */
export function scoresUnits({ rsst }: ResolvedPruneSettings): boolean {
  return rsst === undefined || rsst.units === 'doomed';
}

function resolveRefill(refill: RefillSettings | undefined): Whole<RefillSettings> {
  if (refill === undefined) {
    throw new UsageError(
      'prune: got the method refill without `refill`, expected what returns, such as ' +
        "{ fillback: 0.1, score: 'gradient', budget: 'keep' }. The method oneshot gives nothing back.",
    );
  }
  const { fillback, score, budget } = refill;
  return {
    fillback: number('fillback', fillback, { min: 0, max: 1 }),
    score: oneOf('refill.score', score ?? 'magnitude', refillScores),
    budget: oneOf('refill.budget', budget ?? 'add', refillBudgets),
  };
}

function resolveDistill(
  { weight, temperature = 1, through = false }: DistillSettings,
  method: PruneMethod,
): Whole<DistillSettings> {
  if (through && method !== 'rsst') {
    throw new UsageError(
      `prune: got \`distill.through\` with the method ${method}, expected method rsst: the others have no epochs before the cut. Leave it out.`,
    );
  }
  return {
    through,
    weight: number('distill', weight, { above: 0, max: 1 }),
    temperature: number('temperature', temperature, { above: 0 }),
  };
}

function foreign(name: string, method: string): UsageError {
  return new UsageError(
    `prune: got ${name} settings with the method ${method}, expected method ${name}.`,
  );
}

/** @throws UsageError for a function, which config.json cannot hold, or a name that there is not */
function importanceNamed(importance: unknown): ImportanceName {
  if (typeof importance === 'string') {
    checkImportance(importance);
    return importance;
  }
  throw new UsageError(
    `prune: importance: got a ${typeof importance}, expected a name, which config.json can hold. ` +
      'Give a function of your own a name with registerImportance.',
  );
}
