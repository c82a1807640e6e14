// What a data set opened is looked at, and completed, before anything is trained on it.
import { resolve } from 'node:path';
import { defined } from '../defined.js';
import { type Preprocessing, defaultPreprocessing } from '../preparation/preprocessing.js';
import { checkedSplit } from './checked-split.js';
import type { DatasetDefinition } from './definition.js';
import { DataError } from './errors.js';
import type {
  Dataset,
  DatasetInfo,
  ImageSplit,
  OpenDatasetOptions,
  OpenedDataset,
} from './types.js';

/**
 * The data set with what it left out of its facts.
 * @throws DataError if its facts or splits cannot be used
 */
export function completed(
  definition: Pick<DatasetDefinition, 'name' | 'anySize'>,
  opened: OpenedDataset,
  options: OpenDatasetOptions,
): Dataset {
  const { name } = definition;
  const where = `openDataset "${name}"`;
  checkShape(where, opened, definition.anySize);
  const { dir } = options;
  const info: DatasetInfo = {
    ...opened.info,
    name,
    ...(opened.info.dir === undefined && dir !== undefined && dir !== '' && { dir: resolve(dir) }),
    preprocessing: opened.info.preprocessing ?? preparationOf(definition, options),
  };
  checkInfo(where, opened.info, info);
  const prepared = opened.prepared?.bind(opened);
  return {
    info,
    train: checkedSplit(`${where}: train`, opened.train, info),
    test: checkedSplit(`${where}: test`, opened.test, info),
    ...(prepared && {
      prepared: (preprocessing: Preprocessing) =>
        completed(definition, prepared(preprocessing), options),
    }),
  };
}

/** As it was asked for, where images are resized at all. */
function preparationOf(
  { name, anySize = false }: Pick<DatasetDefinition, 'name' | 'anySize'>,
  { interpolation, cropShare }: OpenDatasetOptions,
): Preprocessing {
  const usual = defaultPreprocessing(name);
  return anySize ? { ...usual, ...defined({ interpolation, cropShare }) } : usual;
}

/** Of code of one's own, which the compiler may not have seen. */
function checkShape(
  where: string,
  opened: unknown,
  anySize = false,
): asserts opened is OpenedDataset {
  const { info, train, test } = (opened ?? {}) as Partial<Record<keyof OpenedDataset, unknown>>;
  if (typeof info !== 'object' || info === null) {
    throw new DataError(`${where}: got no info, expected an object { info, train, test }.`);
  }
  if (anySize && typeof (opened as OpenedDataset).prepared !== 'function') {
    throw new DataError(
      `${where}: got no function 'prepared', expected one: images of any size are prepared as the model records that ` +
        'they are for. Give prepared(preprocessing), or leave anySize out.',
    );
  }
  for (const [part, split] of Object.entries({ train, test })) {
    const { length, label, read } = (split ?? {}) as Partial<Record<keyof ImageSplit, unknown>>;
    if (!Number.isInteger(length) || (length as number) < 1) {
      throw new DataError(`${where}: ${part}: got ${String(length)} images, expected 1 or more.`);
    }
    if (typeof label === 'function' && typeof read === 'function') continue;
    const missing = typeof label === 'function' ? 'read' : 'label';
    throw new DataError(`${where}: ${part}: got no function '${missing}', expected one.`);
  }
}

function checkInfo(where: string, given: OpenedDataset['info'], info: DatasetInfo): void {
  const fail = (what: string, got: unknown, expected: string): never => {
    throw new DataError(
      `${where}: info.${what}: got ${JSON.stringify(got)}, expected ${expected}.`,
    );
  };
  const { classes, channels, height, width } = info;
  if (given.name !== undefined && given.name !== info.name) {
    fail('name', given.name, `"${info.name}", or leave it out`);
  }
  const areNames = (list: unknown): boolean =>
    Array.isArray(list) && list.length > 0 && list.every((name) => typeof name === 'string');
  if (!areNames(classes)) fail('classes', classes, 'the name of every class');
  if (!([1, 3] as readonly unknown[]).includes(channels)) fail('channels', channels, '1 or 3');
  for (const [side, pixels] of Object.entries({ height, width })) {
    if (!Number.isInteger(pixels) || pixels < 1) fail(side, pixels, 'an integer from 1');
  }
  for (const [name, least] of [
    ['mean', -Infinity],
    ['std', 0],
  ] as const) {
    const values: unknown = info[name];
    const isFit =
      Array.isArray(values) &&
      values.length === channels &&
      values.every((value) => Number.isFinite(value) && value > least);
    if (isFit) continue;
    const sign = name === 'std' ? 'positive number' : 'number';
    fail(name, values, `a ${sign} for each of ${channels} channels`);
  }
}
