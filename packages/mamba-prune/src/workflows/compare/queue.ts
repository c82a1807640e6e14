/** Something to do, perhaps after something else. */
export interface Task {
  readonly name: string;
  /** Name of the task whose result it needs. */
  readonly after?: string;
}

export interface QueueOptions<T extends Task> {
  /** How many at once. */
  readonly limit: number;
  /** Names of the tasks that need not be done. */
  readonly done: Iterable<string>;
  /** @returns false if it was stopped, through the signal or otherwise */
  readonly run: (task: T, signal: AbortSignal) => Promise<boolean>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does tasks in their order, several at once, each after the one that it needs. After an error no
 * other begins, and those in progress are stopped.
 *
 * @returns whether all are done; false if the signal stopped them
 * @throws the first error, when the others have ended
 */
export async function runQueue<T extends Task>(
  tasks: readonly T[],
  { limit, done, run, signal }: QueueOptions<T>,
): Promise<boolean> {
  const finished = new Set(done);
  const waiting = tasks.filter(({ name }) => !finished.has(name));
  const running = new Map<string, Promise<void>>();
  const failure = new AbortController();
  const stop = AbortSignal.any([failure.signal, ...(signal ? [signal] : [])]);
  let first: { error: unknown } | undefined;
  for (;;) {
    while (!stop.aborted && running.size < limit) {
      const index = waiting.findIndex(({ after }) => after === undefined || finished.has(after));
      const [task] = index < 0 ? [] : waiting.splice(index, 1);
      if (!task) break;
      const ended = run(task, stop)
        .then((whole) => {
          if (whole) finished.add(task.name);
          else failure.abort();
        })
        .catch((error: unknown) => {
          first ??= { error };
          failure.abort();
        })
        .finally(() => running.delete(task.name));
      running.set(task.name, ended);
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }
  if (first) throw first.error;
  return tasks.every(({ name }) => finished.has(name));
}
