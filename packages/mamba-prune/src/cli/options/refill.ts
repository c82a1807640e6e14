// Refill's flags.
import type { Option } from 'commander';
import { defined } from '../../defined.js';
import { refillBudgets, refillScores } from '../../pruning/refill-choices.js';
import type { RefillSettings } from '../../workflows/prune/settings.js';
import { choiceOption, numberOption } from './parse.js';

export interface RefillFlags {
  readonly fillback?: number;
  readonly refillScore?: NonNullable<RefillSettings['score']>;
  readonly refillBudget?: NonNullable<RefillSettings['budget']>;
}

export const refillOptions = (): Option[] => [
  numberOption('--fillback <x>', 'share of the removed units that is given back (default: 0)', {
    min: 0,
    max: 1,
  }),
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
];

/** What was typed over what the run has. */
export function refillOf(given: RefillFlags, stored: RefillSettings | undefined): RefillSettings {
  const { fillback, refillScore: score, refillBudget: budget } = given;
  return { fillback: 0, ...stored, ...defined({ fillback, score, budget }) };
}
