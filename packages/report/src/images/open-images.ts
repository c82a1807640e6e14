// The images that runs were trained on, at the size of each model.
import { resolve } from 'node:path';
import { type Dataset, type ModelConfigBase, RunFolder } from 'mamba-prune';
import type { NoteHandler } from 'mamba-prune/data';
import { openDataFor, requireRecordedDataset } from 'mamba-prune/internal';
import type { RunData } from '../page-data/run.js';

/** Where test images are, in place of what runs name. */
export interface ImageSource {
  readonly dataset?: string | undefined;
  /** Its folder. */
  readonly data?: string | undefined;
}

export interface ImagesOptions extends ImageSource {
  readonly onNote?: NoteHandler | undefined;
}

/**
 * Opens a data set as models take it, once for all of one size, and tells its notes once.
 * @param run - whose folder of images is meant, unless another one is given
 * @returns what opens it for a model @throws UsageError if the two do not fit
 * @throws DataError or UsageError if the run does not say which data set it had
 */
export function imagesOf(
  run: RunData,
  name: string,
  { dataset, data, onNote }: ImagesOptions,
): (config: ModelConfigBase) => Promise<Dataset> {
  if (dataset === undefined && run.file === undefined) {
    requireRecordedDataset(run.path, RunFolder.open(run.path).config.dataset);
  }
  const settings = { dataset: name, data: data ?? dataFolderOf(run, name) };
  const opened = new Map<string, Promise<Dataset>>();
  return (config) => {
    const key = JSON.stringify([config.imageSize, config.channels, config.numClasses]);
    const known = opened.get(key);
    if (known) return known;
    const made = openDataFor({ config }, settings, opened.size === 0 ? { onNote } : {});
    opened.set(key, made);
    return made;
  };
}

/** The folder in which a run had a data set. @param name - of the data set */
export function dataFolderOf(
  { path, file, dataset: own }: Pick<RunData, 'path' | 'file' | 'dataset'>,
  name: string,
): string | undefined {
  // There is no run that would say it, or what it says is of other images.
  if (file !== undefined || own?.name !== name) return undefined;
  const { dataset, cwd } = RunFolder.open(path).config;
  const { dir } = (dataset ?? {}) as { dir?: unknown };
  return typeof dir === 'string' ? resolve(cwd, dir) : undefined;
}
