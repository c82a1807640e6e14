/** Ctrl-C: stop gracefully at first, without more ado when asked again. */
import { constants } from 'node:os';

/**
 * The signals that ask the process to stop. SIGHUP is that of a closed terminal or a lost connection; Node.js itself
 * undoes what nohup does (it puts the default action back when it starts), so nohup cannot mean to ignore it.
 */
export const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const satisfies NodeJS.Signals[];

export interface StopOnSignals {
  /** Aborted by the first signal; its reason is the signal's name. */
  readonly signal: AbortSignal;
  /** Back to the default behaviour of signals. */
  dispose(): void;
}

/**
 * The first of `stopSignals` aborts the signal returned; the second ends the process, with
 * the exit status that shells give for it (128 + its number).
 * @param onFirst - tells the user that the process is stopping, and what a second one does
 */
export function stopOnSignals(onFirst: (name: NodeJS.Signals) => void): StopOnSignals {
  const controller = new AbortController();
  const handler = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(128 + constants.signals[name]);
    controller.abort(name);
    onFirst(name);
  };
  for (const name of stopSignals) process.on(name, handler);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of stopSignals) process.off(name, handler);
    },
  };
}
