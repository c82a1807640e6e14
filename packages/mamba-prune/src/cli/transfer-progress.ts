/** How files on their way are shown: downloads of data sets as of models, and uploads. */
import type { DownloadOptions } from '../files/download.js';
import { bytes } from '../format.js';
import { type Context, InterruptedError } from './context.js';

const mebi = 2 ** 20;

/** @param label - what is downloaded */
export function downloadHooks(
  context: Context,
  label: string,
): Pick<DownloadOptions, 'onNote' | 'onProgress'> {
  const { progress } = context;
  return {
    onNote: (note) => {
      context.note(note);
    },
    onProgress: ({ received, total }) => {
      if (total !== undefined) showTransfer(progress, label, received, total);
    },
  };
}

/** @param done - bytes */
export function showTransfer(
  progress: Context['progress'],
  label: string,
  done: number,
  total: number,
): void {
  if (!progress.busy) progress.begin(label, total / mebi, 'MiB', done / mebi);
  progress.update(done / mebi, { extra: bytes(total) });
}

/** Runs a download; one that was stopped tells the command that goes on. */
export async function interruptedDownload<T>(
  signal: AbortSignal,
  resume: string,
  download: () => Promise<T>,
): Promise<T> {
  try {
    return await download();
  } catch (error) {
    // What has no words of its own is told by whoever listens to signals.
    if (!signal.aborted || !(error instanceof Error) || error.name === 'AbortError') throw error;
    throw new InterruptedError(error.message, resume);
  }
}
