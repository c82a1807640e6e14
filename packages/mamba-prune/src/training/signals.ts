/** Ctrl-C: stop gracefully at first, at once when asked again. */

// Not SIGHUP: under nohup it is ignored, and a handler would undo that.
const SIGNALS: ReadonlyMap<NodeJS.Signals, number> = new Map([
  ['SIGINT', 2],
  ['SIGTERM', 15],
]);

export interface StopOnSignals {
  /** Aborted by the first signal; its reason is the signal's name. */
  readonly signal: AbortSignal;
  /** Back to the default behaviour of signals. */
  dispose(): void;
}

/**
 * The first SIGINT or SIGTERM aborts the signal returned; the second ends the process at once, with
 * the exit status that shells give for it (128 + its number).
 * @param onFirst - tells the user that the process is stopping, and what a second one does
 */
export function stopOnSignals(onFirst: (name: NodeJS.Signals) => void): StopOnSignals {
  const controller = new AbortController();
  const handler = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(128 + (SIGNALS.get(name) ?? 0));
    controller.abort(name);
    onFirst(name);
  };
  for (const name of SIGNALS.keys()) process.on(name, handler);
  return {
    signal: controller.signal,
    dispose() {
      for (const name of SIGNALS.keys()) process.off(name, handler);
    },
  };
}
