// What to compare: the flags of compare; compare-request.ts is what they ask for.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { compareLimits, mostProcesses, trainLimits } from '../../limits.js';
import { families } from '../../models/families.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import { defaultWithImages } from '../../pruning/importances.js';
import { amountsOption } from './amounts.js';
import type { CommonOptions } from './common.js';
import { type ComparePartFlags, methodOptions, seedOptions } from './compare-parts.js';
import type { CacheOptions, DataOptions, PreparationOptions } from './data.js';
import { compensationOptions } from './compensation.js';
import { groupOptions } from './groups.js';
import { rankByOption, scoreBatchesOption, scoreOptions, selectionOptions } from './importance.js';
import type { ModelFlags } from './model.js';
import { addOptions, checkOnce, integerOption, numberOption } from './parse.js';
import { type PruningFlags, bnBatchesOption } from './pruning.js';
import { targetOption } from './rates.js';
import type { RecipeOptions } from './recipe.js';
import { refillScoreOption } from './refill.js';
import { rsstOptions } from './rsst.js';
import { type RunOptions, dataThreadsOption, tensorboardOption } from './run.js';

export interface CompareFlags
  extends
    Partial<Pick<RunOptions, 'out' | 'overwrite' | 'tensorboard' | 'dataThreads'>>,
    Pick<
      PruningFlags,
      | 'importance'
      | 'score'
      | 'scoreBatches'
      | 'ranking'
      | 'normalize'
      | 'roundTo'
      | 'maxRate'
      | 'exclude'
      | 'rateOf'
      | 'minWidth'
      | 'rankBy'
      | 'fillback'
      | 'refillScore'
      | 'regSchedule'
      | 'regStrength'
      | 'exponents'
      | 'regNorm'
      | 'regUnits'
      | 'regApply'
      | 'regEpochs'
      | 'rechoose'
      | 'cutAtZero'
      | 'cuts'
      | 'compensate'
      | 'compensateImages'
      | 'bnBatches'
    > {
  readonly quick?: true;
  readonly seeds?: number;
  readonly rate?: readonly number[];
  /** What is left of the cost. */
  readonly targetMacs?: readonly Amount[];
  readonly targetParams?: readonly Amount[];
  readonly targetFile?: readonly Amount[];
  readonly target?: string;
  readonly finetuneEpochs?: number;
  readonly finetuneLr?: number;
  readonly jobs?: number;
}

export type CompareOptions = CommonOptions &
  DataOptions &
  CacheOptions &
  PreparationOptions &
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
    .option(
      '--quick',
      'use the settings of the small comparison in docs/results/methods-compared.md',
    )
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
    .addOption(
      amountsOption(
        '--target-macs <amount,...>',
        'MACs per image that the models may have, such as 3M,0.3x, in place of --rate',
        'macs',
      ),
    )
    .addOption(
      amountsOption(
        '--target-params <amount,...>',
        'parameters that they may have, such as 1.5M,0.3x',
        'params',
      ),
    )
    .addOption(
      amountsOption(
        '--target-file <size,...>',
        'bytes that their files may have, such as 5MB,4MiB or 0.3x',
        'file',
      ),
    )
    .addOption(targetOption('kinds of units to remove'))
    .addOption(
      integerOption(
        '--finetune-epochs <n>',
        'epochs of every method after the dense training; RSST needs 2 (default: half of --epochs)',
        {
          min: 1,
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
    .addOption(dataThreadsOption('number of threads of each run that prepare images'))
    .addOption(tensorboardOption('the folder of every run'))
    .option('--overwrite', 'delete the comparison in --out and begin a new one');
  addOptions(command, seedOptions());
}

export function addMethodOptions(command: Command): void {
  command.optionsGroup('Methods:');
  addOptions(command, methodOptions());
  command.optionsGroup('Cuts, alike for every method:');
  addOptions(command, [
    ...scoreOptions(`${defaultWithImages(families())}; --quick l1`),
    scoreBatchesOption(),
    ...selectionOptions(),
    ...groupOptions(),
    rankByOption(),
    ...compensationOptions(),
    bnBatchesOption(),
  ]);
  command.optionsGroup('Method refill:');
  addOptions(command, [
    numberOption(
      '--fillback <x>',
      'share of the removed units that is given back (default: 0.1, and less above 81% removed, where the first cut has to choose half of what stays: 0.052 at 90%, 0.025 at 95%)',
      {
        min: 0,
        below: 1,
      },
    ),
    refillScoreOption('gradient'),
  ]);
  command.optionsGroup('Method rsst:');
  addOptions(
    command,
    rsstOptions({
      epochs:
        'regularised epochs before the cut, taken from --finetune-epochs, so that fewer are left after it (default: half of them)',
      strength: '1000; l1 100; loss 1; all 1e-4',
      norm: 'group',
      units: 'doomed',
      apply: 'proximal; all: loss',
      through: 'all epochs',
    }),
  );
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
