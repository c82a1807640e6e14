import { type Context, InterruptedError } from './context.js';

/**
 * Runs work that can stop in good order: the first Ctrl-C (or SIGTERM, SIGHUP) aborts the signal, a second
 * one ends the process as soon as the operator in progress returns.
 * @throws InterruptedError if the work stopped by throwing the signal's reason
 */
export async function interruptible<T>(
  { progress }: Context,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { stopOnSignals } = await import('../training/signals.js');
  const stop = stopOnSignals(() => {
    progress.line('  Stopping after this step. Press Ctrl-C again to stop without waiting for it.');
  });
  const { signal } = stop;
  try {
    return await work(signal);
  } catch (error) {
    const isAbort = error instanceof Error && error.name === 'AbortError';
    if (signal.aborted && (isAbort || error === signal.reason)) {
      throw new InterruptedError('Stopped.');
    }
    throw error;
  } finally {
    stop.dispose();
  }
}
