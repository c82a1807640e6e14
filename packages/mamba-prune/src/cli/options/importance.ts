// By what units are measured and ranked: flags that several commands have.
import type { Option } from 'commander';
import { pruneLimits } from '../../limits.js';
import { todaysValue } from '../../pruning/earlier-names.js';
import {
  defaultScore,
  defaultScoreBatches,
  importanceDescriptions,
  scoreDescriptions,
} from '../../pruning/importances.js';
import { rankMeasures } from '../../pruning/ranking.js';
import { normalizations, rankings } from '../../pruning/selection.js';
import { choiceOption, integerOption, numberOption, withEarlierWords } from './parse.js';

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

export const scoreBatchesOption = (): Option =>
  integerOption(
    '--score-batches <n>',
    `batches of 64 images to measure with, where images are looked at (default: ${defaultScoreBatches})`,
    { min: 1, max: pruneLimits.batches },
  );

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
