// Which data set, and how much of it.
import type { Command, Option } from 'commander';
import { datasetDefinitions, datasetNames, needsFolder } from '../../data/datasets.js';
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import { dataLimits } from '../../limits.js';
import {
  defaultPreprocessing,
  type Interpolation,
  interpolations,
  leastCropShare,
  usualCropShare,
} from '../../preparation/preprocessing.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import { grouped, plural } from '../../format.js';
import {
  checkChoice,
  choiceOption,
  integerOption,
  listed,
  numberOption,
  suggestion,
} from './parse.js';

export interface DataOptions {
  readonly dataset?: string;
  readonly data?: string;
}

export interface CacheOptions {
  readonly cachedSize?: number;
}

export interface PreparationOptions {
  readonly interpolation?: Interpolation;
  readonly cropShare?: number;
}

export function addDataOptions(command: Command, fallback?: string): void {
  command
    .optionsGroup('Data:')
    .addOption(datasetOption(fallback))
    .option('--data <dir>', `folder of the data set; ${needNone()}`);
}

/** For commands that train. */
export function addCacheOption(command: Command): void {
  command.addOption(cacheOption());
}

/** @param mark - between the words of the flag */
export const cacheOption = (mark: '-' | '_' = '-'): Option =>
  integerOption(
    `--cached${mark}size <px>`,
    'keep training images of folders in the cache, their shorter side resized to this, and cut random crops out of those',
    { min: 1, max: dataLimits.imageSize },
  );

/** The data sets that there are when a command line is read: a module may have registered some. */
export const datasetOption = (fallback?: string): Option =>
  choiceOption('--dataset <name>', 'data set', datasetNames(), fallback).argParser((name: string) =>
    checkChoice(name, datasetNames()),
  );

/** `fashion-mnist needs none` */
export function needNone(): string {
  const names = datasetNames().filter((name) => !needsFolder(name));
  return `${listed(names, 'and')} ${names.length === 1 ? 'needs' : 'need'} none`;
}

/** What the crop leaves where nothing else is asked for: `0.875; tiny-imagenet 1`. */
function cropShares(): string {
  const others = datasetDefinitions().flatMap(({ name, anySize = false }) => {
    const { cropShare } = defaultPreprocessing(name);
    return anySize && cropShare !== usualCropShare ? [`; ${name} ${cropShare}`] : [];
  });
  return `${usualCropShare}${others.join('')}`;
}

/**
 * How the images of a folder are made a new model's; one that there is brings its own way.
 * @param given - the flag of such a model
 */
export function addPreparationOptions(command: Command, given: '--from' | '--dense'): void {
  command
    .addOption(
      choiceOption(
        '--interpolation <name>',
        'how images of folders are resized',
        interpolations,
        `bilinear, or as those of ${given}`,
      ),
    )
    .addOption(
      numberOption(
        '--crop-share <x>',
        `share of the shorter side that the centre crop keeps (default: ${cropShares()}, or as that of ${given})`,
        { min: leastCropShare, max: 1 },
      ),
    );
}

/** @throws UsageError if a name is no data set's */
export function checkDatasetName(name: string): void {
  const names = datasetNames();
  if ((names as readonly string[]).includes(name)) return;
  throw new UsageError(
    `got data set '${name}', expected one of ${names.join(', ')}.${suggestion(name, names)}`,
  );
}

/** `fashion-mnist, 4,000 of 60,000 training and 10,000 test images of 1x28x28, 10 classes` */
export function describeDataset(
  { info, train, test }: Dataset,
  { maxTrainImages, maxTestImages }: Pick<RecipeSettings, 'maxTrainImages' | 'maxTestImages'>,
): string {
  return (
    `${info.name}, ${usedOf(train.length, maxTrainImages)} training and ` +
    `${usedOf(test.length, maxTestImages)} test images of ` +
    `${info.channels}x${info.height}x${info.width}, ${plural(info.classes.length, 'class', 'classes')}`
  );
}

const usedOf = (all: number, most: number | null | undefined): string =>
  most == null || most >= all ? grouped(all) : `${grouped(most)} of ${grouped(all)}`;
