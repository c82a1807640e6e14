/** The right to make a file that several processes may want at the same time: one makes it, and the others wait. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FileLock, LockedError } from './lock.js';

/** How often the lock is looked at, in ms. */
const interval = 200;

export interface TurnOptions {
  readonly onNote?: ((note: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until no other process makes the file. Whoever gets the turn looks whether the file is there by now.
 * @param target - the file; the lock lies beside it
 * @returns to be released
 * @throws AbortError where the signal ends the waiting; the system's error where no lock can be made
 */
export async function takeTurn(target: string, { signal, onNote }: TurnOptions): Promise<FileLock> {
  for (let waited = false; ; waited = true) {
    try {
      return FileLock.acquire(`${target}.lock`, target);
    } catch (error) {
      if (!(error instanceof LockedError)) throw error;
      if (!waited) {
        onNote?.(
          'Another process downloads the same file; waiting for it. ' +
            `If none does any more, delete ${error.path}.`,
        );
      }
    }
    await sleep(interval, undefined, signal ? { signal } : {});
  }
}
