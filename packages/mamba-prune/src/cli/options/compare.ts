// What to compare: the flags of compare, and what they ask for.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { compareLimits, mostProcesses, pruneLimits, trainLimits } from '../../limits.js';
import { UsageError } from '../../errors.js';
import { families } from '../../models/families.js';
import { defaultWithImages } from '../../pruning/importances.js';
import { refillScores } from '../../pruning/refill-choices.js';
import { regApplications, regNorms, rsstDefaults } from '../../pruning/rsst/choices.js';
import { rsstSchedules } from '../../pruning/rsst/schedule.js';
import { shareOf } from '../../pruning/budget/amounts.js';
import { type CompareBudget, rateOfShare } from '../../workflows/compare/budget.js';
import type { CompareRequest } from '../../workflows/compare/compare.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import type { Context } from '../context.js';
import type { CommonOptions } from './common.js';
import { type ComparePartFlags, methodOptions, partsOf, seedOptions } from './compare-parts.js';
import type { DataOptions } from './data.js';
import { type ModelFlags, typedModelOptions } from './model.js';
import { checkOnce, choiceOption, integerOption, numberOption } from './parse.js';
import { scoreOptions, selectionOptions } from './importance.js';
import type { PruningFlags } from './pruning.js';
import { regUnitsOptions } from './rsst.js';
import { targetKinds, targetOption } from './rates.js';
import { type RecipeOptions, defined, recipeOf, typedRecipe } from './recipe.js';

interface CompareFlags extends Pick<
  PruningFlags,
  | 'importance'
  | 'score'
  | 'scoreBatches'
  | 'ranking'
  | 'normalize'
  | 'roundTo'
  | 'maxRate'
  | 'fillback'
  | 'refillScore'
  | 'regSchedule'
  | 'regStrength'
  | 'exponents'
  | 'regNorm'
  | 'regUnits'
  | 'regApply'
  | 'regEpochs'
> {
  readonly quick?: true;
  readonly seeds?: number;
  readonly rate?: readonly number[];
  /** Rates: shares of the cost that are removed. */
  readonly targetMacs?: readonly number[];
  readonly targetParams?: readonly number[];
  readonly targetFile?: readonly number[];
  readonly target?: string;
  readonly finetuneEpochs?: number;
  readonly finetuneLr?: number;
  readonly jobs?: number;
  readonly out?: string;
  readonly overwrite?: true;
}

export type CompareOptions = CommonOptions &
  DataOptions &
  ModelFlags &
  RecipeOptions &
  CompareFlags &
  ComparePartFlags;

export const compareDefaults = {
  arch: 'mamba_tiny',
  seeds: 3,
  rates: [0.7],
  epochs: 30,
  lr: 1e-3,
  finetuneLr: 5e-4,
};

export function addComparisonOptions(command: Command): void {
  command
    .optionsGroup('Comparison:')
    .option('--out <dir>', 'folder of the comparison, a new one or one to go on with (required)')
    .option('--quick', 'use the settings of the small comparison in docs/results.md')
    .addOption(
      integerOption('--seeds <n>', 'number of seeds, counted up from --seed (default: 3)', {
        min: 1,
        max: compareLimits.seeds,
      }),
    )
    .addOption(
      sharesOption(
        '--rate <x,...>',
        'shares of the units to remove, compared one by one (default: 0.7)',
      ),
    )
    .addOption(budgetOption('--target-macs <x,...>', 'MACs'))
    .addOption(budgetOption('--target-params <x,...>', 'parameters'))
    .addOption(budgetOption('--target-file <x,...>', 'bytes of the file'))
    .addOption(
      targetOption('kinds of units to remove: both (default), all, or a list such as ssm,mlp'),
    )
    .addOption(
      integerOption(
        '--finetune-epochs <n>',
        'epochs of every method after the dense training (default: half of --epochs)',
        {
          min: 2,
          max: trainLimits.epochs,
        },
      ),
    )
    .addOption(
      numberOption(
        '--finetune-lr <x>',
        `highest learning rate in these epochs (default: ${compareDefaults.finetuneLr})`,
        {
          above: 0,
          max: trainLimits.lr,
        },
      ),
    )
    .addOption(
      integerOption(
        '--jobs <n>',
        'number of runs at the same time (default: by cores and memory)',
        {
          min: 1,
          max: mostProcesses,
        },
      ),
    )
    .option('--overwrite', 'delete the comparison in --out and begin a new one');
  for (const option of seedOptions()) command.addOption(option);
}

export function addMethodOptions(command: Command): void {
  command.optionsGroup('Methods:');
  for (const option of [
    ...methodOptions(),
    ...scoreOptions(`${defaultWithImages(families())}; --quick l1`),
    integerOption(
      '--score-batches <n>',
      'batches of 64 images for scores that need images (default: 8)',
      {
        min: 1,
        max: pruneLimits.batches,
      },
    ),
    ...selectionOptions(),
    numberOption(
      '--fillback <x>',
      'Refill: share of the removed units that is given back (default: 0.1)',
      {
        min: 0,
        below: 1,
      },
    ),
    choiceOption(
      '--refill-score <name>',
      'Refill: how the units to give back are chosen',
      refillScores,
      'gradient',
    ),
    integerOption(
      '--reg-epochs <n>',
      'RSST: regularised epochs, out of --finetune-epochs (default: half)',
      {
        min: 1,
        max: trainLimits.epochs,
      },
    ),
    choiceOption(
      '--reg-schedule <name>',
      'RSST: how the penalty grows',
      rsstSchedules,
      'exp_custom_exponents; shrink: cosine',
    ),
    numberOption(
      '--reg-strength <x>',
      'RSST: strength of the penalty at the end (default: 1000; l1 100; loss 1; all 1e-4)',
      { min: 0, max: trainLimits.strength },
    ),
    numberOption('--exponents <p>', 'RSST: exponent of the exp schedules (default: 4)', {
      above: 0,
      max: pruneLimits.exponent,
    }),
    choiceOption('--reg-norm <name>', 'RSST: norm of a unit that is penalised', regNorms, 'group'),
    ...regUnitsOptions('RSST: penalise all units, or those that will be removed', 'doomed'),
    choiceOption(
      '--reg-apply <how>',
      'RSST: add the penalty to the loss, pull the weights to zero after each step, or shrink them along the schedule',
      regApplications,
      'proximal; all: loss',
    ),
  ]) {
    command.addOption(option);
  }
}

/** An option whose value is a list of shares: 0.5,0.7 */
function sharesOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string) => {
    const shares = text.split(',').map((word) => (word.trim() === '' ? NaN : Number(word)));
    if (shares.every((share) => share > 0 && share < 1)) {
      checkOnce(shares);
      return shares;
    }
    throw new InvalidArgumentError('Expected shares above 0 and below 1, separated by commas.');
  });
}

/** An option whose value is a list of shares that are left: 0.5x,0.3x */
const budgetOption = (flags: string, of: string): Option =>
  new Option(
    flags,
    `shares of the dense model's ${of} to leave, such as 0.5x,0.3x, in place of --rate`,
  ).argParser((text: string) => {
    const shares = text.split(',').map((word) => shareOf(word.trim()) ?? NaN);
    if (shares.every((share) => share > 0 && share < 1)) {
      checkOnce(shares);
      return shares.map(rateOfShare);
    }
    throw new InvalidArgumentError(
      'Expected shares of the dense model above 0x and below 1x, separated by commas, such as 0.5x,0.3x.',
    );
  });

/** @throws UsageError for sizes that are given twice */
function sizesOf({
  rate,
  targetMacs,
  targetParams,
  targetFile,
}: CompareFlags): Partial<Pick<CompareRequest, 'rates' | 'budget'>> {
  const typed = Object.entries(
    defined({ macs: targetMacs, params: targetParams, file: targetFile }),
  ) as [CompareBudget, readonly number[]][];
  const [first, second] = typed;
  if (first === undefined) return defined({ rates: rate });
  const other = second ? `--target-${second[0]}` : rate && '--rate';
  if (other !== undefined) {
    throw new UsageError(
      `got --target-${first[0]} and ${other}, expected one of the two: methods are compared at sizes of one kind. ` +
        'Leave one of them out.',
    );
  }
  return { budget: first[0], rates: first[1] };
}

export async function requestOf({
  options,
  given,
}: Pick<Context<CompareOptions>, 'options' | 'given'>): Promise<CompareRequest> {
  const { quickComparison } = await import('../../workflows/compare/quick.js');
  const quick = given.quick === true ? quickComparison : undefined;
  const { data, imageSize, target, threads } = given;
  const { budget, rates } = sizesOf(given);
  const dataset = given.dataset ?? quick?.train.dataset;
  if (dataset === undefined) {
    throw new UsageError(
      '--dataset is missing, expected a name such as fashion-mnist or cifar10, or --quick.',
    );
  }
  const { train, finetune } = recipesOf(given, dataset, quick);
  // What --quick stands for was measured with its own; otherwise the inputs decide.
  const { importance = quick?.cut.importance, ranking = 'global', normalize = 'mean' } = given;
  const { roundTo = 1, maxRate = 1, score, scoreBatches } = given;
  const { regUnits: units = 'doomed', regNorm: norm = 'group', regApply } = given;
  const { apply, strength } = rsstDefaults(units === 'doomed', norm, regApply);
  const { dense } = given;
  if (dense) checkDenseFlags(given);
  const seeds = given.seeds ?? quick?.seeds.length ?? compareDefaults.seeds;
  return {
    train: {
      ...defined({ data, imageSize }),
      dataset,
      arch: given.arch ?? quick?.train.arch ?? compareDefaults.arch,
      model: { ...quick?.train.model, ...typedModelOptions(given) },
      recipe: train,
    },
    finetune,
    seeds: Array.from({ length: seeds }, (_, i) => options.seed + i),
    rates: rates ?? quick?.rates ?? compareDefaults.rates,
    ...defined({ budget }),
    targets: target === undefined || target === 'both' ? undefined : targetsOf(target),
    cut: {
      ranking,
      normalize,
      roundTo,
      maxRate,
      ...defined({ importance, score, scoreBatches }),
    },
    // What works at all does not depend on the model: the preset's methods are everyone's defaults.
    refill: {
      ...quickComparison.refill,
      ...defined({ fillback: given.fillback, score: given.refillScore }),
    },
    rsst: {
      units,
      norm,
      apply,
      strength: given.regStrength ?? strength,
      ...defined({ schedule: given.regSchedule, exponent: given.exponents }),
      ...defined({ lrThrough: given.lrThrough }),
      epochs: given.regEpochs ?? Math.floor(finetune.epochs / 2),
    },
    threads,
    ...defined({ dense }),
    ...partsOf(given, options.seed),
  };
}

/** @throws UsageError for flags of the dense training that the given models have behind them */
function checkDenseFlags(given: Partial<CompareOptions>): void {
  const { arch, epochs, dense = [], methods = [] } = given;
  if (arch !== undefined || Object.keys(typedModelOptions(given)).length > 0) {
    throw new UsageError(
      'got the architecture, or options of it, with --dense, whose models have their own. Leave them out.',
    );
  }
  const areRuns = dense.every((model) => existsSync(join(model, 'config.json')));
  if (areRuns && epochs !== undefined) {
    throw new UsageError(
      'got --epochs with runs as --dense, which tell the epochs of the dense training themselves. Leave it out.',
    );
  }
  if (!areRuns && epochs === undefined && methods.includes('scratch')) {
    throw new UsageError(
      '--epochs is missing, expected those that the dense model of --dense was trained for: scratch trains for as many, and ' +
        'those after it.',
    );
  }
}

const targetsOf = (target: string): CompareRequest['targets'] =>
  target === 'all' ? target : targetKinds(target);

/** The seed is each run's own. */
function recipesOf(
  given: Partial<CompareOptions>,
  dataset: string,
  quick: CompareRequest | undefined,
): { train: RecipeSettings; finetune: RecipeSettings } {
  const { finetuneEpochs, finetuneLr } = given;
  const own = new Set(['epochs', 'lr', 'warmupEpochs']);
  const shared = Object.fromEntries(Object.entries(given).filter(([name]) => !own.has(name)));
  const after: RecipeOptions = {
    ...shared,
    ...defined({ epochs: finetuneEpochs, lr: finetuneLr }),
  };
  if (quick) {
    return { train: over(quick.train.recipe, given), finetune: over(quick.finetune, after) };
  }
  const train = recipeOf(given, 0, { ...compareDefaults, phase: 'train' }, dataset);
  const epochs = Math.max(2, Math.ceil(train.epochs / 2));
  const finetune = recipeOf(
    after,
    0,
    { epochs, lr: compareDefaults.finetuneLr, phase: 'finetune' },
    dataset,
  );
  return { train, finetune };
}

/** What was typed over a recipe; with other epochs the warm-up keeps its share. */
function over(recipe: RecipeSettings, typed: RecipeOptions): RecipeSettings {
  const { epochs = recipe.epochs } = typed;
  const warmupEpochs = ((recipe.warmupEpochs ?? 0) * epochs) / recipe.epochs;
  return { ...recipe, warmupEpochs, ...typedRecipe(typed) };
}
