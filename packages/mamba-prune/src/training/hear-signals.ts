import { setImmediate } from 'node:timers/promises';

/**
 * Lets a process learn of signals that came during work without a turn of the event loop. They arrive between two of the
 * turns that `setImmediate` waits for, so that one alone may be too early.
 */
export async function hearSignals(): Promise<void> {
  await setImmediate();
  await setImmediate();
}
