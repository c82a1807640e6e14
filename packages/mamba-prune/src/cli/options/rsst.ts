// RSST's flags.
import { Option } from 'commander';
import { defined } from '../../defined.js';
import { pruneLimits, trainLimits } from '../../limits.js';
import { regApplications, regNorms, regUnits } from '../../pruning/rsst/choices.js';
import { rsstSchedules } from '../../pruning/rsst/schedule.js';
import { throughInWords } from '../../workflows/prune/lr-through.js';
import type { RsstSettings } from '../../workflows/prune/settings.js';
import { choiceOption, earlierOption, integerOption, numberOption } from './parse.js';

export interface RsstFlags {
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
}

/** What descriptions say that is not the same in `prune` and `compare`. */
export interface RsstWords {
  readonly epochs: string;
  readonly strength: string;
  readonly norm: string;
  readonly units: string;
  readonly apply: string;
  /** The epochs that `--lr-through` makes one training of. */
  readonly through: string;
}

export const rsstOptions = (words: RsstWords): Option[] => [
  integerOption('--reg-epochs <n>', words.epochs, {
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
    `strength of the penalty at the end (default: ${words.strength})`,
    { min: 0, max: trainLimits.strength },
  ),
  numberOption('--exponents <p>', 'exponent of the exp schedules (default: 4)', {
    above: 0,
    max: pruneLimits.exponent,
  }),
  choiceOption('--reg-norm <name>', 'norm of a unit that is penalised', regNorms, words.norm),
  ...regUnitsOptions('penalise all units, or those that will be removed', words.units),
  choiceOption(
    '--reg-apply <how>',
    'add the penalty to the loss, pull the weights to zero after each step, or shrink them along the schedule',
    regApplications,
    words.apply,
  ),
  new Option(
    '--lr-through',
    `use one learning rate schedule for ${words.through}, and keep the optimizer state of kept units (default: ${throughInWords()})`,
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
];

export const nearZeroOption = (): Option =>
  numberOption(
    '--near-zero <x>',
    'remove the units whose norm is below this share of the largest in their group, in place of a rate',
    { min: 0, below: 1 },
  );

/** Which units RSST regularises, under today's name and the one before. */
function regUnitsOptions(description: string, fallback: string): Option[] {
  const option = choiceOption('--reg-units <which>', description, regUnits, fallback);
  return [option, earlierOption('--reg-scope <which>', option)];
}

/** What was typed over what the run has. */
export function rsstOf(given: RsstFlags, stored: RsstSettings | undefined): RsstSettings {
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
