// Data as a function of the library is given it, from JavaScript too.
import { shown } from '../checks.js';
import { DataError } from './errors.js';

const has = (value: unknown, names: Readonly<Record<string, string>>): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.entries(names).every(
    ([name, type]) => typeof (value as Readonly<Record<string, unknown>>)[name] === type,
  );

/**
 * @param where - the function that was given it, for the error
 * @throws DataError for anything but facts about images and two splits
 */
export function requireDataset(where: string, dataset: unknown): void {
  if (has(dataset, { info: 'object', train: 'object', test: 'object' })) return;
  throw new DataError(
    `${where}: got ${shown(dataset)} in place of the data set, expected { info, train, test }, as openDataset gives it.`,
    { isUsage: true },
  );
}

/** @throws DataError for anything but a split and the facts about its images */
export function requireSplit(where: string, split: unknown, info: unknown): void {
  if (!has(split, { length: 'number', label: 'function', read: 'function' })) {
    throw new DataError(
      `${where}: got ${shown(split)} in place of the split, expected { length, label, read }, such as dataset.train.`,
      { isUsage: true },
    );
  }
  if (
    !has(info, {
      channels: 'number',
      height: 'number',
      width: 'number',
      mean: 'object',
      std: 'object',
    })
  ) {
    throw new DataError(
      `${where}: got ${shown(info)} in place of the facts about the images, expected { channels, height, width, mean, std }, ` +
        'such as dataset.info.',
      { isUsage: true },
    );
  }
}
