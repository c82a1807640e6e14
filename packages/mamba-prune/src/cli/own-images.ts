// The images that a model was trained on, where they are still to be found on this machine.
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import type { DataHooks } from '../workflows/fit.js';

/** Which images; `data` is their folder. */
export interface ImageSource {
  readonly dataset: string;
  readonly data?: string | undefined;
}

const recorded = z.looseObject({ name: z.string(), dir: z.string().optional() });

/**
 * What a model says it was trained on, with the folder that it remembers, or that its run read the images from.
 * @param path - of the model's file, in the folder of its run or among its checkpoints
 * @returns undefined if the model does not say
 */
export async function recordedImages(
  path: string,
  { dataset, data }: Pick<ModelInfo, 'dataset' | 'data'>,
): Promise<ImageSource | undefined> {
  if (dataset === undefined) return undefined;
  if (data !== undefined) return { dataset, data };
  const { RunFolder } = await import('../training/run-folder.js');
  const folder = dirname(resolve(path));
  for (const run of [folder, dirname(folder)]) {
    if (!RunFolder.isRun(run)) continue;
    let config;
    try {
      ({ config } = RunFolder.open(run));
    } catch {
      break; // A damaged neighbour says nothing of the model.
    }
    const { data: own } = recorded.safeParse(config.dataset);
    // Another data set's folder is of no use.
    if (own?.name !== dataset || own.dir === undefined) break;
    return { dataset, data: resolve(config.cwd, own.dir) };
  }
  return { dataset };
}

/**
 * Whether images can be opened here, and are those that a model takes.
 * @returns what is wrong, in words; undefined if nothing is
 */
export async function whyNotUsable(
  { dataset, data }: ImageSource,
  { config }: Pick<ImageModel, 'config'>,
  info: ModelInfo,
  hooks: DataHooks,
): Promise<string | undefined> {
  const { openDataFor, withModelInfo } = await import('../workflows/fit.js');
  try {
    withModelInfo(await openDataFor({ config }, { dataset, data }, hooks), info);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
