/** How workers find each other: a store at rank 0 or at a launcher, which all of them reach. */
import { createConnection } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type Handle, native } from '../native.js';
import { libtorchVersion } from '../runtime.js';
import type { WorkerConfig } from './config.js';
import { DistributedError, guarded } from './errors.js';

export interface Rendezvous {
  readonly store: Handle;
  readonly port: number;
  readonly prefix: string;
}

export interface RendezvousOptions {
  /** Until all workers are there. */
  readonly joinTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Rank 0 alone: the port that the store listens at. */
  readonly onListening?: ((port: number) => void) | undefined;
}

/** For one request to a store that is there. */
const STORE_TIMEOUT_MS = 60_000;

/**
 * Waits without blocking the process, so that Ctrl-C ends it, until all workers are there.
 * @throws DistributedError naming the ranks that did not come, or what differs; the signal's reason
 */
export async function meet(config: WorkerConfig, options: RendezvousOptions): Promise<Rendezvous> {
  const { host, rank } = config;
  const hosts = rank === 0 && config.launcherHasStore !== true;
  const deadline = Date.now() + options.joinTimeoutMs;
  if (!hosts) await untilListening(config, deadline, options.signal);
  const store = openStore(config, hosts);
  try {
    const port = native.storePort(store);
    if (hosts) options.onListening?.(port);
    const prefix = `mamba_prune/${config.attempt ?? 0}/`;
    await gather({ store, port, prefix }, config, deadline, options.signal);
    return { store, port, prefix };
  } catch (error) {
    native.storeClose(store);
    throw error;
  }

  function openStore({ port }: WorkerConfig, isServer: boolean): Handle {
    try {
      return native.storeOpen(host, port, isServer, STORE_TIMEOUT_MS);
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0] ?? '';
      throw new DistributedError(
        isServer
          ? `workers: rank 0 cannot listen at ${host}:${port}: ${reason} Is the port taken? Choose another (MASTER_PORT).`
          : `workers: rank ${rank} cannot use the store at ${host}:${port}: ${reason}`,
        { cause: error },
      );
    }
  }
}

async function untilListening(
  { host, port, rank }: WorkerConfig,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let reason = 'no answer';
  for (;;) {
    signal?.throwIfAborted();
    if (Date.now() > deadline) {
      throw new DistributedError(
        `workers: rank ${rank} got no answer from rank 0 at ${host}:${port}: ${reason}. ` +
          'Has rank 0 started, and can this machine reach it there? (MASTER_ADDR, MASTER_PORT)',
      );
    }
    const problem = await connectionProblem(host, port);
    if (problem === undefined) return;
    reason = problem;
    await pause(100, undefined, signal && { signal });
  }
}

/** @returns undefined if something listens there */
function connectionProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const end = (problem?: string) => {
      socket.destroy();
      resolve(problem);
    };
    socket.setTimeout(2000, () => {
      end('no connection within 2 s');
    });
    socket.on('connect', () => {
      end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end(error.code ?? error.message);
    });
  });
}

/** Everyone says who it is; rank 0 looks whether all are there and alike, and lets them go. */
async function gather(
  { store, prefix }: Rendezvous,
  { rank, workers }: WorkerConfig,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = (name: string) => `${prefix}${name}`;
  const get = (name: string) => guarded(() => native.storeGet(store, key(name)));
  const set = (name: string, value: string) => {
    guarded(() => {
      native.storeSet(store, key(name), value);
    });
  };
  const own = `${workers} workers, libtorch ${libtorchVersion()}`;
  if (get(`here/${rank}`) !== null) {
    throw new DistributedError(
      `workers: rank ${rank} is there already, expected every rank once. Give each worker a RANK of its own.`,
    );
  }
  set(`here/${rank}`, own);
  const missing = new Set(Array.from({ length: workers }, (_, i) => i));
  for (;;) {
    signal?.throwIfAborted();
    const answer = get('go');
    if (answer === 'yes') return;
    if (answer !== null) throw new DistributedError(answer);
    if (rank === 0) {
      for (const other of missing) {
        const found = get(`here/${other}`);
        if (found === null) continue;
        missing.delete(other);
        if (found === own) continue;
        const problem = `workers: rank ${other} has ${found}, expected as rank 0 ${own}.`;
        set('go', problem);
        throw new DistributedError(problem);
      }
      if (missing.size === 0) set('go', 'yes');
    }
    if (Date.now() > deadline) {
      const who = rank === 0 ? `rank ${[...missing].join(', ')} of ${workers}` : 'all workers';
      throw new DistributedError(
        `workers: ${who} did not come in time. Has every worker been started, with the same WORLD_SIZE?`,
      );
    }
    await pause(20, undefined, signal && { signal });
  }
}
