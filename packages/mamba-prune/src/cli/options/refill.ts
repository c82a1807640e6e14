// Refill's flags.
import type { Option } from 'commander';
import { defined } from '../../defined.js';
import { refillBudgets, refillScores } from '../../pruning/refill-choices.js';
import { UsageError } from '../../errors.js';
import type { RefillSettings } from '../../workflows/prune/settings.js';
import { choiceOption, numberOption } from './parse.js';

export interface RefillFlags {
  readonly fillback?: number;
  readonly refillScore?: NonNullable<RefillSettings['score']>;
  readonly refillBudget?: NonNullable<RefillSettings['budget']>;
}

export const refillOptions = (): Option[] => [
  numberOption(
    '--fillback <x>',
    'share of the removed units that is given back; refill wants it, and 0 is a one-shot cut',
    {
      min: 0,
      max: 1,
    },
  ),
  refillScoreOption('magnitude'),
  choiceOption(
    '--refill-budget <how>',
    'let the model grow by these units, or cut deeper to keep the rate',
    refillBudgets,
    'add',
  ),
];

/** @param fallback - what help says is taken where no score is given */
export const refillScoreOption = (fallback: string): Option =>
  choiceOption(
    '--refill-score <name>',
    'how the units to give back are chosen',
    refillScores,
    fallback,
  );

/** What was typed over what the run has. */
export function refillOf(given: RefillFlags, stored: RefillSettings | undefined): RefillSettings {
  const { fillback = stored?.fillback, refillScore: score, refillBudget: budget } = given;
  if (fillback === undefined) {
    throw new UsageError(
      'got --method refill without --fillback, expected the share of the removed units that returns. Give ' +
        '--fillback 0.1 --refill-score gradient --refill-budget keep, as compare does (above 81% removed it gives back less: 0.052 at 90%), or --method oneshot, where none returns.',
    );
  }
  return { ...stored, fillback, ...defined({ score, budget }) };
}
