import { FormatError } from '@mamba-prune/libtorch';
import { type ImageModel, loadModel } from 'mamba-prune';
import type { NoteHandler } from 'mamba-prune/data';

/** Whether an error is about one file that is damaged, so that others can still be read. */
export const isAboutFile = (error: unknown): error is Error => error instanceof FormatError;

/**
 * The model of a run, which the caller disposes.
 * @returns undefined if its file is damaged or its weights are no numbers, and says so
 */
export function loadOrNote(path: string, onNote: NoteHandler | undefined): ImageModel | undefined {
  try {
    return loadModel(path).model;
  } catch (error) {
    if (!isAboutFile(error)) throw error;
    onNote?.(`A model was left out: ${error.message}`);
    return undefined;
  }
}
