// Which data set, and how much of it.
import type { Command } from 'commander';
import { datasetNames } from '../../data/datasets.js';
import type { Dataset } from '../../data/types.js';
import { UsageError } from '../../errors.js';
import {
  type Interpolation,
  interpolations,
  leastCropShare,
} from '../../preparation/preprocessing.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import { grouped } from '../terminal/format.js';
import { choiceOption, numberOption, suggestion } from './parse.js';

export interface DataOptions {
  readonly dataset?: string;
  readonly data?: string;
}

export interface PreparationOptions {
  readonly interpolation?: Interpolation;
  readonly cropShare?: number;
}

export function addDataOptions(command: Command, fallback?: string): void {
  command
    .optionsGroup('Data:')
    .addOption(choiceOption('--dataset <name>', 'data set', datasetNames(), fallback))
    .option('--data <dir>', 'folder of the data set; fashion-mnist needs none');
}

/** How the images of a folder are made a new model's; one that there is brings its own way. */
export function addPreparationOptions(command: Command): void {
  command
    .addOption(
      choiceOption(
        '--interpolation <name>',
        'how images of folders are resized',
        interpolations,
        'bilinear',
      ),
    )
    .addOption(
      numberOption(
        '--crop-share <x>',
        'share of the shorter side that the centre crop keeps (default: 0.875; tiny-imagenet 1)',
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
    `${info.channels}x${info.height}x${info.width}, ${info.classes.length} classes`
  );
}

const usedOf = (all: number, most: number | null | undefined): string =>
  most == null || most >= all ? grouped(all) : `${grouped(most)} of ${grouped(all)}`;
