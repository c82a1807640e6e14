// What to cut and how: the flags of prune. Nothing here has a default of commander's: what was not
// typed may come from a run's config.json.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { pruneLimits, trainLimits } from '../../limits.js';
import { families } from '../../models/families.js';
import { todaysValue } from '../../pruning/earlier-names.js';
import {
  type ImportanceName,
  type UnitScore,
  defaultInWords,
  defaultScore,
  importanceDescriptions,
  scoreDescriptions,
} from '../../pruning/importances.js';
import { refillBudgets, refillScores } from '../../pruning/refill-choices.js';
import { regApplications, regNorms, regUnits } from '../../pruning/rsst/choices.js';
import { rsstSchedules } from '../../pruning/rsst/schedule.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import { type RankMeasure, rankMeasures } from '../../pruning/ranking.js';
import { normalizations, rankings } from '../../pruning/selection.js';
import type {
  CostBudgetSettings,
  LatencyBudget,
} from '../../workflows/prune/cost-budget-settings.js';
import {
  type PruneMethod,
  type PruneSettings,
  type RefillSettings,
  type RsstSettings,
  pruneMethods,
} from '../../workflows/prune/settings.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import { decideThrough, throughInWords } from '../../workflows/prune/lr-through.js';
import { type Rewind, parseRewind } from '../../workflows/prune/rewind-time.js';
import {
  choiceOption,
  earlierOption,
  integerOption,
  numberOption,
  withEarlierWords,
} from './parse.js';
import { defined } from './recipe.js';
import { budgetOptions } from './amounts.js';
import { type CompensationFlags, compensateOf, compensationOptions } from './compensation.js';
import { type GroupFlags, groupOptions } from './groups.js';
import { type RateFlags, addRateOptions } from './rates.js';

export interface PruningFlags extends RateFlags, GroupFlags, CompensationFlags {
  readonly ratesFrom?: string;
  readonly targetMacs?: Amount;
  readonly targetParams?: Amount;
  readonly targetFile?: Amount;
  readonly targetLatency?: LatencyBudget;
  readonly rankBy?: RankMeasure;
  readonly method?: PruneMethod;
  readonly rounds?: number;
  readonly perRound?: true;
  readonly rewind?: Rewind;
  readonly importance?: ImportanceName;
  readonly score?: UnitScore;
  readonly scoreBatches?: number;
  readonly ranking?: PruneSettings['ranking'];
  readonly normalize?: PruneSettings['normalize'];
  readonly roundTo?: number;
  readonly maxRate?: number;
  readonly fillback?: number;
  readonly refillScore?: NonNullable<RefillSettings['score']>;
  readonly refillBudget?: NonNullable<RefillSettings['budget']>;
  readonly regSchedule?: NonNullable<RsstSettings['schedule']>;
  readonly regStrength?: number;
  readonly exponents?: number;
  readonly regNorm?: NonNullable<RsstSettings['norm']>;
  readonly regUnits?: NonNullable<RsstSettings['units']>;
  readonly regApply?: NonNullable<RsstSettings['apply']>;
  readonly regEpochs?: number;
  readonly nearZero?: number;
  readonly lrThrough?: boolean;
  readonly rechoose?: number;
  readonly cutAtZero?: true;
  readonly cuts?: number;
  readonly distill?: number;
  readonly temperature?: number;
  readonly bnBatches?: number;
}

const share = { min: 0, max: 1 };

export function addPruningOptions(command: Command): void {
  command.optionsGroup('Pruning:');
  command.addOption(
    choiceOption('--method <name>', 'how units are removed', pruneMethods, 'oneshot'),
  );
  addRateOptions(command);
  command.option(
    '--rates-from <file>',
    'give each group a rate by what mamba-prune sensitivity measured',
  );
  add(command, [
    ...budgetOptions(),
    ...groupOptions(),
    integerOption('--rounds <n>', 'number of rounds of cutting and training (default: 1)', {
      min: 1,
      max: pruneLimits.rounds,
    }),
    new Option('--per-round', 'let every round remove the rate of what is left then'),
    rewindOption(),
    ...compensationOptions(),
  ]);
  command.optionsGroup('Importance of units:');
  add(command, [
    ...scoreOptions(defaultInWords(families())),
    integerOption(
      '--score-batches <n>',
      'batches of 64 images to measure with, where images are looked at (default: 8)',
      { min: 1, max: pruneLimits.batches },
    ),
    ...selectionOptions(),
    rankByOption(),
  ]);
  command.optionsGroup('Method refill:');
  add(command, [
    numberOption(
      '--fillback <x>',
      'share of the removed units that is given back (default: 0)',
      share,
    ),
    choiceOption(
      '--refill-score <name>',
      'how the units to give back are chosen',
      refillScores,
      'magnitude',
    ),
    choiceOption(
      '--refill-budget <how>',
      'let the model grow by these units, or cut deeper to keep the rate',
      refillBudgets,
      'add',
    ),
  ]);
  command.optionsGroup('Method rsst:');
  add(command, [
    integerOption('--reg-epochs <n>', 'regularised epochs before a cut (default: --epochs)', {
      min: 1,
      max: trainLimits.epochs,
    }),
    choiceOption(
      '--reg-schedule <name>',
      'how the penalty grows',
      rsstSchedules,
      'exp_custom_exponents; shrink: cosine',
    ),
    numberOption(
      '--reg-strength <x>',
      'strength of the penalty at the end (default: 1e-4; doomed: 1000, l1 100, in the loss 1)',
      { min: 0, max: trainLimits.strength },
    ),
    numberOption('--exponents <p>', 'exponent of the exp schedules (default: 4)', {
      above: 0,
      max: pruneLimits.exponent,
    }),
    choiceOption(
      '--reg-norm <name>',
      'norm of a unit that is penalised',
      regNorms,
      'l1; doomed: group',
    ),
    ...regUnitsOptions('penalise all units, or those that will be removed', 'all'),
    choiceOption(
      '--reg-apply <how>',
      'add the penalty to the loss, pull the weights to zero after each step, or shrink them along the schedule',
      regApplications,
      'loss; doomed: proximal',
    ),
    numberOption(
      '--near-zero <x>',
      'remove the units whose norm is below this share of the largest in their group, in place of a rate',
      { min: 0, below: 1 },
    ),
    new Option(
      '--lr-through',
      `use one learning rate schedule for --reg-epochs and --epochs, and keep the optimizer state of kept units (default: ${throughInWords()})`,
    ),
    new Option('--no-lr-through', 'give the training before and after a cut a schedule each'),
    integerOption(
      '--rechoose <n>',
      'choose the doomed units again after every n regularised epochs',
      {
        min: 1,
        max: trainLimits.epochs,
      },
    ),
    new Option(
      '--cut-at-zero',
      'cut after the first regularised epoch that leaves all doomed units at zero; needs --lr-through',
    ),
    integerOption(
      '--cuts <n>',
      'divide the regularised epochs and the doomed units among n cuts; needs --lr-through (default: 1)',
      { min: 1, max: pruneLimits.rounds },
    ),
  ]);
}

/** What units are scored by. @param fallback - what help says is taken where no importance is given */
export const scoreOptions = (fallback: string): Option[] => [
  choiceOption(
    '--importance <name>',
    "what a unit's weights w are worth, L being the loss",
    importanceDescriptions(),
    fallback,
  ),
  withEarlierWords(
    choiceOption(
      '--score <what>',
      'weights of a unit that are measured',
      scoreDescriptions,
      defaultScore,
    ),
    (word) => todaysValue('score', word),
  ),
];

/** Which units RSST regularises, under today's name and the one before. */
export function regUnitsOptions(description: string, fallback: string): Option[] {
  const option = choiceOption('--reg-units <which>', description, regUnits, fallback);
  return [option, earlierOption('--reg-scope <which>', option)];
}

/** From scores to the units that stay. */
export const selectionOptions = (): Option[] => [
  withEarlierWords(
    choiceOption(
      '--ranking <how>',
      'rank units across all groups, or within each group',
      rankings,
      'global',
    ),
    (word) => todaysValue('ranking', word),
  ),
  choiceOption(
    '--normalize <how>',
    'divide the scores of a group by their mean, or not',
    normalizations,
    'mean',
  ),
  integerOption('--round-to <n>', 'round widths up to a multiple of this (default: 1)', {
    min: 1,
    max: pruneLimits.width,
  }),
  numberOption('--max-rate <x>', 'largest share that one group may lose (default: 1)', {
    above: 0,
    max: 1,
  }),
];

/** @param mark - between the words of the flag */
export const rankByOption = (mark: '-' | '_' = '-'): Option =>
  choiceOption(
    `--rank${mark}by <what>`,
    'rank units by score, or by score per what their removal saves, all kinds together',
    rankMeasures,
    'score',
  );

/** Of the training after a cut. */
export function addTeacherOptions(command: Command): void {
  add(command, [
    numberOption(
      '--distill <x>',
      'weight of the unpruned model, as a teacher, in the loss (default: 0)',
      share,
    ),
    numberOption('--temperature <t>', 'softmax temperature of teacher and student (default: 1)', {
      above: 0,
      max: pruneLimits.temperature,
    }),
    integerOption(
      '--bn-batches <n>',
      'batches to measure batch normalisation with again after a cut, where there is any (default: 16; without images 0)',
      { min: 0, max: pruneLimits.batches },
    ),
  ]);
}

function rewindOption(): Option {
  return new Option(
    '--rewind <when>',
    'weights that kept units go back to: none, source, init or epoch:E (default: none)',
  ).argParser((text: string) => {
    try {
      return parseRewind(text);
    } catch {
      throw new InvalidArgumentError('Expected none, source, init or epoch:E, such as epoch:5.');
    }
  });
}

function add(command: Command, options: readonly Option[]): void {
  for (const option of options) command.addOption(option);
}

/** Those that say what the model may cost. */
export const budgetFlags = ['targetMacs', 'targetParams', 'targetFile', 'targetLatency'] as const;

/** Whether one of them was typed. */
export const hasBudget = (given: PruningFlags): boolean =>
  budgetFlags.some((flag) => given[flag] !== undefined);

/** The settings but for model, rates and recipe: what was typed over what the run has. */
export function pruningOf(given: PruningFlags, stored?: PruneSettings) {
  const { rounds, perRound, rewind, score, scoreBatches, bnBatches, minWidth, rankBy } = given;
  const method = given.method ?? stored?.method ?? 'oneshot';
  const { weight } = { weight: given.distill ?? stored?.distill?.weight ?? 0 };
  return {
    method,
    ranking: given.ranking ?? stored?.ranking ?? 'global',
    normalize: given.normalize ?? stored?.normalize ?? 'mean',
    roundTo: given.roundTo ?? stored?.roundTo ?? 1,
    maxRate: given.maxRate ?? stored?.maxRate ?? 1,
    // Undecided where neither says: it depends on whether there are images.
    ...defined({ importance: given.importance ?? stored?.importance }),
    ...defined({ rounds, perRound, rewind, score, scoreBatches, bnBatches, minWidth, rankBy }),
    ...(hasBudget(given) && { costBudget: costBudgetOf(given, stored?.costBudget) }),
    ...(method === 'refill' && { refill: refillOf(given, stored?.refill) }),
    ...(method === 'rsst' && { rsst: rsstOf(given, stored?.rsst) }),
    ...compensateOf(given, stored?.compensate),
    ...(weight > 0 && {
      distill: { ...stored?.distill, weight, ...defined({ temperature: given.temperature }) },
    }),
  };
}

/**
 * Under lr-through the training has the regularised epochs too: the warm-up and plain epochs that a recipe has as a
 * share of its epochs are a share of all.
 * @param make - a recipe of the epochs that it is told
 */
export function recipeThrough<F extends PruningFlags & { readonly epochs?: number }>(
  given: F,
  make: (flags: F) => RecipeSettings,
): RecipeSettings {
  const recipe = make(given);
  const { method, lrThrough, rewind, regUnits: units, regEpochs = recipe.epochs } = given;
  const { epochs } = recipe;
  const decided = decideThrough({ units, lrThrough }, { epochs, rewind });
  if (method !== 'rsst' || epochs === 0 || decided.lrThrough !== true) return recipe;
  return { ...make({ ...given, epochs: regEpochs + epochs }), epochs };
}

function costBudgetOf(
  { targetMacs, targetParams, targetFile, targetLatency }: PruningFlags,
  stored: CostBudgetSettings | undefined,
): CostBudgetSettings {
  const latency = targetLatency;
  return {
    ...stored,
    ...defined({ macs: targetMacs, params: targetParams, file: targetFile, latency }),
  };
}

function refillOf(given: PruningFlags, stored: RefillSettings | undefined): RefillSettings {
  const { fillback, refillScore: score, refillBudget: budget } = given;
  return { fillback: 0, ...stored, ...defined({ fillback, score, budget }) };
}

function rsstOf(given: PruningFlags, stored: RsstSettings | undefined): RsstSettings {
  const { regSchedule, regStrength, exponents, regNorm, regUnits, regApply, regEpochs } = given;
  return {
    ...stored,
    ...defined({
      schedule: regSchedule,
      strength: regStrength,
      exponent: exponents,
      norm: regNorm,
      units: regUnits,
      apply: regApply,
      epochs: regEpochs,
      nearZero: given.nearZero,
      lrThrough: given.lrThrough,
      rechoose: given.rechoose,
      cutAtZero: given.cutAtZero,
      cuts: given.cuts,
    }),
  };
}
