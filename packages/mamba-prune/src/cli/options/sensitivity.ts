// The flags of sensitivity. Nothing here has a default of commander's: what was not typed may come from the file that is
// gone on with.
import { type Command, Option } from 'commander';
import { UsageError } from '../../errors.js';
import { pruneLimits, trainLimits } from '../../limits.js';
import { families } from '../../models/families.js';
import type { Amount } from '../../pruning/budget/amounts.js';
import {
  type ImportanceName,
  type UnitScore,
  defaultWithImages,
} from '../../pruning/importances.js';
import type { CostMetric } from '../../pruning/sensitivity/curve.js';
import { sensitivityParts } from '../../pruning/sensitivity/parts.js';
import type { SensitivityBy } from '../../pruning/sensitivity/parts.js';
import { type SearchMethod, searchMethods } from '../../workflows/sensitivity/file.js';
import type { CostTarget } from '../../workflows/sensitivity/settings.js';
import { budgetOptions } from './amounts.js';
import { type CompensationFlags, compensationOptions } from './compensation.js';
import { scoreOptions } from './importance.js';
import { addOptions, choiceOption, integerOption, numberOption, numbersOption } from './parse.js';
import { targetOption } from './rates.js';

export interface SensitivityFlags extends CompensationFlags {
  readonly by?: SensitivityBy;
  readonly rates?: readonly number[];
  readonly target?: string;
  readonly roundTo?: number;
  readonly images?: number;
  readonly split?: 'train' | 'test';
  readonly batchSize?: number;
  readonly bnBatches?: number;
  readonly importance?: ImportanceName;
  readonly score?: UnitScore;
  readonly scoreBatches?: number;
  readonly search?: SearchMethod;
  readonly rate?: number;
  readonly targetMacs?: Amount;
  readonly targetParams?: Amount;
  readonly maxRate?: number;
  readonly out?: string;
  readonly resume?: true;
  readonly overwrite?: true;
  readonly minutes?: number;
}

/** The budgets that a search counts. */
const searched: readonly string[] = ['targetMacs', 'targetParams'];

export function addSensitivityOptions(command: Command): void {
  command.optionsGroup('Measurement:');
  addOptions(command, [
    choiceOption('--by <what>', 'what is cut together', sensitivityParts, 'group'),
    numbersOption('--rates <x,x,...>', 'shares to remove (default: 0.3,0.5,0.7,0.9)', {
      above: 0,
      below: 1,
    }),
    targetOption('kinds of units to cut'),
    integerOption('--round-to <n>', 'round widths up to a multiple of this (default: 1)', {
      min: 1,
      max: pruneLimits.width,
    }),
    integerOption('--images <n>', 'held-out images, evenly over the classes (default: 2000)', {
      min: 1,
      max: trainLimits.images,
    }),
    choiceOption(
      '--split <part>',
      'part of the data set that they come from, without augmentation',
      ['train', 'test'],
      'train, so that the test images stay for the end',
    ),
    integerOption('--batch-size <n>', 'number of images at a time (default: 256)', {
      min: 1,
      max: trainLimits.batchSize,
    }),
    ...compensationOptions(),
    integerOption(
      '--bn-batches <n>',
      'batches to measure batch normalisation with again after each cut, where there is any (default: 8)',
      { min: 0, max: pruneLimits.batches },
    ),
  ]);
  command.optionsGroup('Importance of units:');
  addOptions(command, [
    ...scoreOptions(`${defaultWithImages(families())}; under --score activation l1`),
    integerOption(
      '--score-batches <n>',
      'batches of 64 images to measure with, where images are looked at (default: 8)',
      { min: 1, max: pruneLimits.batches },
    ),
  ]);
  command.optionsGroup('Search for rates, after the measurement:');
  addOptions(command, [
    choiceOption('--search <way>', 'look for the rates of least loss', searchMethods, 'no search'),
    ...budgetOptions().filter((option) => searched.includes(option.attributeName())),
    numberOption('--rate <x>', 'share of the units to remove', { above: 0, below: 1 }),
    numberOption('--max-rate <x>', 'largest share that one group may lose (default: as --rates)', {
      above: 0,
      below: 1,
    }),
  ]);
  command.optionsGroup('File:');
  addOptions(command, [
    new Option('--out <file>', 'file to write, .json, for prune --rates-from and report'),
    new Option('--resume', 'go on with the measurement or search in --out'),
    new Option('--overwrite', 'replace the file').conflicts('resume'),
    numberOption('--minutes <n>', 'stop after this time with what there is by then', {
      above: 0,
      max: 1e6,
    }),
  ]);
}

/**
 * What a search is to reach.
 * @throws UsageError for none or several, or one without a search
 */
export function targetOf(flags: SensitivityFlags): CostTarget | undefined {
  const { rate, targetMacs, targetParams, search, maxRate } = flags;
  const said: (readonly [flag: string, target: CostTarget])[] = [];
  const take = (flag: string, metric: CostMetric, amount: Amount | undefined): void => {
    if (amount !== undefined) said.push([flag, { metric, amount }]);
  };
  take('--target-macs', 'macs', targetMacs);
  take('--target-params', 'parameters', targetParams);
  take('--rate', 'units', rate === undefined ? undefined : `${1 - rate}x`);
  const [first, second] = said;
  if (second) {
    throw new UsageError(
      `got ${said.map(([flag]) => flag).join(' and ')}, expected one of them. Leave the others out.`,
    );
  }
  if (search === undefined) {
    const flag = first?.[0] ?? (maxRate === undefined ? undefined : '--max-rate');
    if (flag === undefined) return undefined;
    throw new UsageError(
      `got ${flag}, which belongs to --search. Give --search greedy or evolutionary, or leave it out; ` +
        'prune --rates-from takes it, too.',
    );
  }
  if (!first) {
    throw new UsageError(
      'got --search without a target, expected one of --target-macs, --target-params and --rate.',
    );
  }
  return first[1];
}
