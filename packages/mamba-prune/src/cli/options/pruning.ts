// What to cut and how: the flags of prune. Nothing here has a default of commander's: what was not
// typed may come from a run's config.json.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defined } from '../../defined.js';
import { pruneLimits } from '../../limits.js';
import { families } from '../../models/families.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import { type ImportanceName, type UnitScore, defaultInWords } from '../../pruning/importances.js';
import type { RankMeasure } from '../../pruning/ranking.js';
import type {
  CostBudgetSettings,
  LatencyBudget,
} from '../../workflows/prune/cost-budget-settings.js';
import { decideThrough } from '../../workflows/prune/lr-through.js';
import { type Rewind, parseRewind } from '../../workflows/prune/rewind-time.js';
import {
  type PruneMethod,
  type PruneSettings,
  pruneMethods,
} from '../../workflows/prune/settings.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import { budgetOptions } from './amounts.js';
import { type CompensationFlags, compensateOf, compensationOptions } from './compensation.js';
import { type GroupFlags, groupOptions } from './groups.js';
import { rankByOption, scoreBatchesOption, scoreOptions, selectionOptions } from './importance.js';
import { addOptions, choiceOption, integerOption, numberOption } from './parse.js';
import { type RateFlags, addRateOptions } from './rates.js';
import { type RefillFlags, refillOf, refillOptions } from './refill.js';
import { type RsstFlags, nearZeroOption, rsstOf, rsstOptions } from './rsst.js';

export interface PruningFlags
  extends RateFlags, GroupFlags, CompensationFlags, RefillFlags, RsstFlags {
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
  readonly distill?: number;
  readonly distillThrough?: true;
  readonly temperature?: number;
  readonly bnBatches?: number;
}

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
  addOptions(command, [
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
  addOptions(command, [
    ...scoreOptions(defaultInWords(families())),
    scoreBatchesOption(),
    ...selectionOptions(),
    rankByOption(),
  ]);
  command.optionsGroup('Method refill:');
  addOptions(command, refillOptions());
  command.optionsGroup('Method rsst:');
  addOptions(command, [
    ...rsstOptions({
      epochs: 'regularised epochs before a cut (default: --epochs)',
      strength: '1e-4; doomed: 1000, l1 100, in the loss 1',
      norm: 'l1; doomed: group',
      units: 'all',
      apply: 'loss; doomed: proximal',
      through: '--reg-epochs and --epochs',
    }),
    nearZeroOption(),
  ]);
}

/** Of the training after a cut. */
export function addTeacherOptions(command: Command): void {
  addOptions(command, [...distillOptions('the unpruned model'), bnBatchesOption()]);
}

/** @param teacher - as descriptions call it */
export const distillOptions = (teacher: string): Option[] => [
  numberOption(
    '--distill <x>',
    `weight of ${teacher}, as a teacher, in the loss after a cut (default: 0)`,
    { min: 0, max: 1 },
  ),
  temperatureOption(),
  new Option(
    '--distill-through',
    'RSST: let the teacher of --distill teach in the regularised epochs too, which learn from the labels otherwise',
  ),
];

export const temperatureOption = (): Option =>
  numberOption('--temperature <t>', 'softmax temperature of teacher and student (default: 1)', {
    above: 0,
    max: pruneLimits.temperature,
  });

export const bnBatchesOption = (): Option =>
  integerOption(
    '--bn-batches <n>',
    'batches to measure batch normalisation with again after a cut, where there is any (default: 16; without images 0)',
    { min: 0, max: pruneLimits.batches },
  );

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
      distill: {
        ...stored?.distill,
        weight,
        ...defined({ temperature: given.temperature, through: given.distillThrough }),
      },
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
