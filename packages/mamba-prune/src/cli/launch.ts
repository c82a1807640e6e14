// Starts the workers of `--workers N` on this machine, and ends when they have ended.
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { stopSignals } from '../training/signals.js';
import type { Context } from './context.js';

/** The workers have ended and said why: nothing remains but the exit status. */
export class WorkersEndedError extends Error {
  override readonly name = 'WorkersEndedError';

  readonly status: number;

  constructor(
    status: number,
    /** Empty if the workers have said everything. */
    message: string,
  ) {
    super(message);
    this.status = status;
  }
}

/** After one has died the others need some seconds to notice; then they are ended. */
const graceMs = 30_000;

interface Ended {
  readonly rank: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs this process's own command line in every worker, with torchrun's variables. Rank 0 has the
 * terminal; it chooses the port, so the others start when it listens. Ctrl-C reaches the workers through
 * this process alone: each signal once.
 * @throws WorkersEndedError unless all end well
 */
export async function launchWorkers({ io, options }: Context, workers: number): Promise<void> {
  const children: ChildProcess[] = [];
  const ends: Promise<Ended>[] = [];
  let deadline: NodeJS.Timeout | undefined;
  const start = (rank: number, port: number): ChildProcess => {
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      detached: true,
      env: { ...io.env, ...variables(rank, workers, port, options.threads) },
      stdio: ['ignore', rank === 0 ? 'inherit' : 'ignore', 'inherit', 'ipc'],
    });
    children.push(child);
    ends.push(
      new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('exit', (code, signal) => {
          // Ctrl-C ends them one by one: rank 0 may have a checkpoint to write.
          if (code !== 0 && code !== 130) {
            deadline ??= setTimeout(() => {
              for (const other of children) other.kill('SIGKILL');
            }, graceMs);
          }
          resolve({ rank, code, signal });
        });
      }),
    );
    return child;
  };
  const forward = (name: NodeJS.Signals) => {
    for (const child of children) child.kill(name);
  };
  for (const name of stopSignals) process.on(name, forward);
  try {
    const lead = start(0, 0);
    const port = await Promise.race([
      new Promise<number>((resolve) => {
        lead.on('message', (message: { port?: number }) => {
          if (message.port !== undefined) resolve(message.port);
        });
      }),
      ends[0]?.then(() => undefined),
    ]);
    if (port !== undefined) for (let rank = 1; rank < workers; rank++) start(rank, port);
    report(await Promise.all(ends));
  } finally {
    clearTimeout(deadline);
    // A signal that comes when all is done must not make a failure of it.
    if (io.isWholeProcess !== true) {
      for (const name of stopSignals) process.off(name, forward);
    }
    forward('SIGKILL');
  }
}

function variables(
  rank: number,
  workers: number,
  port: number,
  threads: number | undefined,
): NodeJS.ProcessEnv {
  const each = Math.max(1, Math.floor(availableParallelism() / workers));
  return {
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(workers),
    LOCAL_WORLD_SIZE: String(workers),
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: String(port),
    // They share the processors, unless the user has divided them.
    OMP_NUM_THREADS: process.env['OMP_NUM_THREADS'] ?? String(threads ?? each),
  };
}

function report(ends: readonly Ended[]): void {
  const failed = ends.filter(({ code }) => code !== 0);
  const [first] = failed;
  if (first === undefined) return;
  const killed = failed.filter(({ signal }) => signal !== null);
  const message = killed.map(({ rank, signal }) => `rank ${rank} was ended by ${signal ?? ''}`);
  throw new WorkersEndedError(first.code ?? 1, message.join(', '));
}
