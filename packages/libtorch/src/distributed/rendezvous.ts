// How workers find each other: a store at rank 0, which all of them reach.
import { createConnection } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type Handle, native } from '../native.js';
import type { WorkerConfig } from './config.js';
import { DistributedError } from './errors.js';
import { gather } from './gather.js';

export interface Rendezvous {
  readonly store: Handle;
  readonly host: string;
  readonly port: number;
  readonly prefix: string;
}

export interface RendezvousOptions {
  /** Until all workers are there. */
  readonly joinTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Rank 0 alone, where no launcher has a store: the port that its own listens at. */
  readonly onListening?: ((port: number) => void) | undefined;
}

/** Where a store listens. */
interface Address {
  readonly host: string;
  readonly port: number;
}

/** For one request to a store that is there. */
const storeTimeoutMs = 20_000;

/**
 * Waits without blocking the process, so that Ctrl-C ends it, until all workers are there.
 *
 * Rank 0 hosts the store. A launcher's own, which torchrun keeps through all its attempts, only tells the others
 * where that is: no connection to it stays.
 * @throws DistributedError naming the ranks that did not come, or what differs; the signal's reason
 */
export async function meet(config: WorkerConfig, options: RendezvousOptions): Promise<Rendezvous> {
  const prefix = `mamba_prune/${config.attempt ?? 0}/`;
  const deadline = Date.now() + options.joinTimeoutMs;
  const opened =
    config.rank === 0
      ? await host(config, prefix, deadline, options)
      : await join(config, prefix, deadline, options.signal);
  const meeting = { ...opened, prefix };
  try {
    await gather({ ...meeting, deadline, signal: options.signal }, config);
    return meeting;
  } catch (error) {
    native.storeClose(meeting.store);
    throw error;
  }
}

/** Rank 0: opens the store, and says where. */
async function host(
  config: WorkerConfig,
  prefix: string,
  deadline: number,
  { signal, onListening }: RendezvousOptions,
): Promise<Omit<Rendezvous, 'prefix'>> {
  const launcher = config.launcherHasStore === true;
  // Before the store opens: it may have to wait for the launcher.
  const own = launcher ? await ownAddress(config, deadline, signal) : config.host;
  const at = { host: own, port: launcher ? 0 : config.port };
  let store: Handle;
  try {
    store = native.storeOpen(at.host, at.port, true, storeTimeoutMs);
  } catch (error) {
    throw new DistributedError(
      `workers: rank 0 cannot listen at ${at.host}:${at.port}: ${reasonOf(error)}. Is the port taken, or the address ` +
        'that of another machine? Choose others (MASTER_ADDR, MASTER_PORT).',
      { cause: error },
    );
  }
  try {
    const port = native.storePort(store);
    if (launcher) {
      const value = JSON.stringify({ host: own, port } satisfies Address);
      native.launcherSet(config.host, config.port, addressKey(prefix), value, storeTimeoutMs);
    } else {
      onListening?.(port);
    }
    return { store, host: own, port };
  } catch (error) {
    native.storeClose(store);
    if (!launcher) throw error;
    throw new DistributedError(
      `workers: rank 0 cannot use the launcher's store at ${config.host}:${config.port}: ${reasonOf(error)}.`,
      { cause: error },
    );
  }
}

/** Every other rank: looks for the store until it is there. */
async function join(
  config: WorkerConfig,
  prefix: string,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Omit<Rendezvous, 'prefix'>> {
  return await retry(config, deadline, signal, async () => {
    const at = config.launcherHasStore === true ? await launcherAddress(config, prefix) : config;
    if (typeof at === 'string') return at;
    // Opening a store blocks the process, so that it must be quick: somebody has to listen there.
    const { problem } = await probe(at.host, at.port);
    if (problem !== undefined) return problem;
    try {
      const store = native.storeOpen(at.host, at.port, false, storeTimeoutMs);
      return { store, host: at.host, port: at.port };
    } catch (error) {
      const reason = reasonOf(error);
      // Rank 0 may come yet where nothing listens, or something that is just ending.
      if (!reason.includes('another program')) return reason;
      throw new DistributedError(
        `workers: rank ${config.rank} cannot use what listens at ${at.host}:${at.port}: ${reason}. ` +
          'Choose another port (MASTER_PORT).',
        { cause: error },
      );
    }
  });
}

/**
 * How the others reach this machine: as the launcher's store, if that is here too; else by the address that
 * this machine has towards it.
 */
async function ownAddress(
  config: WorkerConfig,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  const found = await retry(config, deadline, signal, async () => {
    const { problem, local, remote } = await probe(config.host, config.port);
    return problem ?? { address: local === remote ? config.host : (local ?? config.host) };
  });
  return found.address;
}

const addressKey = (prefix: string) => `${prefix}address`;

/** Of rank 0's store, or why the launcher does not tell it. */
async function launcherAddress(
  { host, port }: WorkerConfig,
  prefix: string,
): Promise<Address | string> {
  const { problem } = await probe(host, port);
  if (problem !== undefined) return problem;
  try {
    const text = native.launcherGet(host, port, addressKey(prefix), storeTimeoutMs);
    const found = JSON.parse(text ?? 'null') as Partial<Address> | null;
    if (typeof found?.host !== 'string' || typeof found.port !== 'number') {
      return 'the launcher is there, but rank 0 has not told it its address';
    }
    return { host: found.host, port: found.port };
  } catch (error) {
    return `the launcher's store: ${reasonOf(error)}`;
  }
}

/** Until `attempt` gives more than the reason why it failed. */
async function retry<T extends object>(
  { host, port, rank }: WorkerConfig,
  deadline: number,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T | string>,
): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    const result = await attempt();
    if (typeof result !== 'string') return result;
    if (Date.now() > deadline) {
      const whom = rank === 0 ? 'the launcher' : 'rank 0';
      throw new DistributedError(
        `workers: rank ${rank} got no answer from ${whom} at ${host}:${port}: ${result}. ` +
          `Has ${whom} started, and can this machine reach it there? (MASTER_ADDR, MASTER_PORT)`,
      );
    }
    await pause(100, undefined, signal && { signal });
  }
}

/** What a native error says, without its function's name. */
function reasonOf(error: unknown): string {
  const [line = ''] = (error as Error).message.split('\n');
  return line.replace(/^\w+: /, '');
}

/** Both ends of a connection that was made and closed again, or why there is none. */
interface Probe {
  readonly problem?: string;
  readonly local?: string | undefined;
  readonly remote?: string | undefined;
}

function probe(host: string, port: number): Promise<Probe> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const end = (result: Probe) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(2000, () => {
      end({ problem: 'no connection within 2 s' });
    });
    socket.on('connect', () => {
      end({ local: socket.localAddress, remote: socket.remoteAddress });
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end({ problem: error.code ?? error.message });
    });
  });
}
