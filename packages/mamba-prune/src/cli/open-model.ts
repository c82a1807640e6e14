// What every command does with its MODEL: finds the file, reads it whoever wrote it, and says what it had to take
// from elsewhere or to assume.
import type { ImageModel } from '../models/image-model.js';
import type { ImportOptions } from '../models/import/model.js';
import type { ModelInfo } from '../models/model-file.js';
import type { Context } from './context.js';
import { inFlags } from './flag-spelling.js';
import { findModel } from './model-argument.js';
import type { CommonOptions } from './options/common.js';
import { type ImportFlags, importOptionsOf } from './options/import.js';
import { shownFile } from '../hub/shown-file.js';

export interface OpenedModel {
  readonly path: string;
  /** In evaluation mode; the command's to dispose. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  /** Whether the file is one of ours, which describes itself. */
  readonly isOurs: boolean;
  /** With which the file alone gives the same model. */
  readonly options: ImportOptions;
  /** What `--json` says of it. */
  readonly facts: ModelFacts;
}

/** Entries of the JSON of every command that opens a model. */
export interface ModelFacts {
  /** The file. */
  readonly model: string;
  /** What nothing tells and nobody said, with the value taken: `imageSize 224`. */
  readonly assumed: readonly string[];
  /** What was taken from where, dropped or converted. */
  readonly notes: readonly string[];
}

export type ImportContext = Context<CommonOptions & ImportFlags>;

export interface OpenOptions {
  /** Takes weights that are NaN or infinite too, to look at them. */
  readonly allowNotFinite?: boolean;
  /** What was typed of files of other programs. By default the command's. */
  readonly said?: ImportOptions;
}

/**
 * Opens the model that an argument means.
 * @throws UsageError, FormatError, HubError: see `findModel` and `openModelFile`
 */
export async function openModel(
  context: ImportContext,
  argument: string,
  options: OpenOptions = {},
): Promise<OpenedModel> {
  return openFile(context, await findModel(context, argument), options);
}

/** As `openModel`, of a file that was found. */
export async function openFile(
  context: ImportContext,
  path: string,
  { allowNotFinite, said }: OpenOptions = {},
): Promise<OpenedModel> {
  const typed = said ?? (await importOptionsOf(context.given));
  const { openModelFile } = await import('../workflows/open-model-file.js');
  const { model, info, isOurs, assumed, notes, options } = await openModelFile(path, {
    ...typed,
    ...(allowNotFinite && { allowNotFinite }),
  });
  const facts = { model: path, assumed, notes: notes.map((note) => inFlags(note, context.flags)) };
  sayAssumptions(context, facts, isOurs);
  return { path, model, info, isOurs, options, facts };
}

/** One form for all commands, on stderr. */
export function sayAssumptions(
  context: Context,
  { model, assumed, notes }: ModelFacts,
  isOurs = false,
): void {
  const name = shownFile(model);
  for (const note of notes) context.note(`${name}: ${note}`);
  if (assumed.length === 0) return;
  const list = assumed.map((entry) => asFlag(entry, context.flags)).join(', ');
  if (isOurs) {
    // It says what it takes; whoever wants it otherwise imports it anew.
    context.note(`${name}: when its weights were imported, this was assumed: ${list}.`);
    return;
  }
  context.note(`${name} does not tell everything. Assumed: ${list}. Give what is otherwise.`);
}

/** `imageSize 224` as `--image-size 224`. */
function asFlag(assumed: string, flags: readonly string[]): string {
  const [name = '', ...value] = assumed.split(' ');
  return `${inFlags(`\`${name}\``, flags)} ${value.join(' ').replaceAll('/', ',')}`;
}
