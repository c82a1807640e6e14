import type { StopOnSignals } from '../training/signals.js';
import { relativePath } from '../shell.js';
import { StoppedAtStartError } from '../training/errors.js';
import { type Context, InterruptedError } from './context.js';

let untilTheEnd: StopOnSignals | undefined;
let atWork = 0;

/**
 * Runs work that can stop in good order: the first Ctrl-C (or SIGTERM, SIGHUP) aborts the signal, a second
 * one ends the process as soon as the operator in progress returns. A process goes on listening when its work is
 * done: a signal that comes a moment later must not make a failure of what is finished and saved.
 * @throws InterruptedError if the work stopped by throwing the signal's reason
 */
export async function interruptible<T>(
  { progress, io }: Context,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { stopOnSignals } = await import('../training/signals.js');
  const listen = () =>
    stopOnSignals(() => {
      if (atWork === 0) return;
      progress.line(
        '  Stopping after this step. Press Ctrl-C again to stop without waiting for it.',
      );
    });
  const stop = io.isWholeProcess === true ? (untilTheEnd ??= listen()) : listen();
  // It came between two pieces of work.
  if (stop.signal.aborted) throw new InterruptedError('Stopped.');
  const { signal } = stop;
  atWork += 1;
  try {
    return await work(signal);
  } catch (error) {
    if (error instanceof StoppedAtStartError) {
      throw new InterruptedError(
        `Stopped before anything was done: ${relativePath(error.path)} is as it was before.`,
      );
    }
    const isAbort = error instanceof Error && error.name === 'AbortError';
    if (signal.aborted && (isAbort || error === signal.reason)) {
      throw new InterruptedError('Stopped.');
    }
    throw error;
  } finally {
    atWork -= 1;
    if (stop !== untilTheEnd) stop.dispose();
  }
}
