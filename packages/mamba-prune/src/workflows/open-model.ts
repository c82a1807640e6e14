// A model from wherever it is and whoever wrote it, as every command opens its MODEL.
import { statSync } from 'node:fs';
import { isBoxedName, modelFileOf } from '../boxed-models.js';
import { isPublishedName } from '../hub-names.js';
import { isHubSpec } from '../hub/spec.js';
import { type ImportOptions, checkImportOptions } from '../models/import/model.js';
import { requirePath } from '../option-checks.js';
import { checkedFile, modelPath } from './model-path.js';
import { type OpenedModelFile, openModelFile } from './open-model-file.js';

export interface OpenedModel extends OpenedModelFile {
  /** The file that it was read from. */
  readonly path: string;
}

/**
 * Opens a model of ours or of another program, with what a checkpoint says of itself, and the config.json and preprocessor_config.json beside it:
 * architecture, heads, names of the classes, mean and deviation. `importModel` takes one file, and looks at nothing beside it.
 *
 * @param source - a file of weights, the index of weights that are split over several files, a folder with one of them
 *   (of a run, or of `save_pretrained`), `hf:owner/name`, which is downloaded as `fetchFromHub` does it, `pretrained:NAME`, which
 *   `fetchPublished` downloads, or `models:NAME`
 * @param options - as for `importModel`; they go before what the files say
 * @returns the model in evaluation mode, which the caller disposes, and what was taken from where
 * @throws UsageError if there is no such file, the architecture is not certain, or an option contradicts the file;
 *   FormatError if the file is damaged or of no known layout; HubError if it cannot be downloaded
 */
export async function openModel(source: string, options: ImportOptions = {}): Promise<OpenedModel> {
  requirePath('openModel', source, 'a model');
  checkImportOptions('openModel', options);
  const notes: string[] = [];
  const onNote = (note: string): void => {
    notes.push(note);
  };
  const path = (await fileOfName(source, onNote)) ?? modelPath(source, { onNote });
  const opened = await openModelFile(path, options);
  return { ...opened, path, notes: [...notes, ...opened.notes] };
}

/**
 * The file of a model that a run is given: what is no folder and no name stays as it is, for a run that is resumed may have no
 * need of it any more.
 * @throws UsageError and HubError as `openModel`
 */
export async function fileOfRun(
  source: string,
  onNote: (note: string) => void = () => undefined,
): Promise<string> {
  const named = await fileOfName(source, onNote);
  if (named !== undefined) return named;
  const isFolder = statSync(source, { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder ? modelPath(source, { onNote }) : source;
}

/** The file of a trained model, or of one that is downloaded; undefined for what is no name. */
async function fileOfName(
  source: string,
  onNote: (note: string) => void,
): Promise<string | undefined> {
  if (isBoxedName(source)) return modelFileOf(source);
  return isHubSpec(source) || isPublishedName(source) ? fetched(source, onNote) : undefined;
}

async function fetched(name: string, onNote: (note: string) => void): Promise<string> {
  const { fetchFromHub } = await import('../hub/fetch.js');
  const { fetchPublished } = await import('../hub/fetch-published.js');
  const { path } = await (isPublishedName(name) ? fetchPublished : fetchFromHub)(name, { onNote });
  return checkedFile(path);
}
