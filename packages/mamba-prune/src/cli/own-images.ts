// The images that a model was trained on, where they are still to be found on this machine.
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { isDataset, requireRecordedDataset } from '../data/datasets.js';
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import type { RunConfig } from '../training/run-config.js';
import { printableLine } from '../printable.js';
import type { DataHooks } from '../workflows/fit.js';

/** Which images; `data` is their folder. */
export interface ImageSource {
  readonly dataset: string;
  readonly data?: string | undefined;
  /** What the run recorded as registering the data set. */
  readonly module?: string | undefined;
}

const recorded = z.looseObject({
  name: z.string(),
  dir: z.string().optional(),
  module: z.string().optional(),
});

/**
 * What a model says it was trained on, with the folder that it remembers, or that its run read the images from.
 * @param path - of the model's file, in the folder of its run or among its checkpoints
 * @returns undefined if the model does not say
 */
export async function recordedImages(
  path: string,
  { dataset, data: remembered }: Pick<ModelInfo, 'dataset' | 'data'>,
): Promise<ImageSource | undefined> {
  if (dataset === undefined) return undefined;
  if (remembered !== undefined) return { dataset, data: remembered };
  const config = await runConfigOf(path);
  const { data: own } = recorded.safeParse(config?.dataset);
  // Another data set's folder is of no use.
  if (!config || own?.name !== dataset) return { dataset };
  const { dir, module } = own;
  const data = dir === undefined ? undefined : resolve(config.cwd, dir);
  return { dataset, ...defined({ data, module }) };
}

/**
 * The refusal of a model that does not say what it was trained on: one that began as the file of another program still
 * knows which images it was fine-tuned on.
 */
export function unknownImages(
  path: string,
  { history = [] }: Partial<Pick<ModelInfo, 'history'>>,
): UsageError {
  const tuned = history.flatMap(({ dataset }) => (typeof dataset === 'string' ? [dataset] : []));
  const last = tuned.at(-1);
  return new UsageError(
    `${path} does not say what it was trained on${last === undefined ? '. Give --dataset.' : ` at first. Give --dataset: it was fine-tuned on ${printableLine(last)}.`}`,
  );
}

/** What the run says in whose folder, or among whose checkpoints, a model's file lies; undefined if there is none. */
async function runConfigOf(path: string): Promise<RunConfig | undefined> {
  const { RunFolder } = await import('../training/run-folder.js');
  const folder = dirname(resolve(path));
  const run = [folder, dirname(folder)].find((candidate) => RunFolder.isRun(candidate));
  if (run === undefined) return undefined;
  try {
    return RunFolder.open(run).config;
  } catch {
    return undefined; // A damaged neighbour says nothing of the model.
  }
}

/**
 * Before a model's data set is opened.
 * @param path - of the model's file
 * @throws DataError if the data set is registered by a module that is not loaded, and the model's run recorded which
 */
export async function requireOwnDataset(path: string, dataset: string): Promise<void> {
  if (isDataset(dataset)) return;
  const record = (await runConfigOf(path))?.dataset;
  if (recorded.safeParse(record).data?.name === dataset)
    requireRecordedDataset(printableLine(path), record);
}

/**
 * Whether images can be opened here, and are those that a model takes.
 * @param path - of the model's file
 * @returns what is wrong, in words; undefined if nothing is
 */
export async function whyNotUsable(
  path: string,
  { dataset, data }: ImageSource,
  { config }: Pick<ImageModel, 'config'>,
  info: ModelInfo,
  hooks: DataHooks,
): Promise<string | undefined> {
  const { openDataFor, withModelInfo } = await import('../workflows/fit.js');
  try {
    await requireOwnDataset(path, dataset);
    withModelInfo(await openDataFor({ config }, { dataset, data }, hooks), info);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
