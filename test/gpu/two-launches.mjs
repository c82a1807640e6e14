// Two launches of `mamba-prune train` that share every batch, as two machines would: two networks with a cable between them where
// this host can make some, else both on its loopback. NCCL is kept from every way between GPUs of one host but sockets.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TwoMachines } from '../support/two-machines.mjs';

const main = fileURLToPath(new URL('../../packages/mamba-prune/dist/cli/main.js', import.meta.url));
const records = 10_000;
const ends = [0, 1];

export class TwoLaunches {
  #machines;
  #folder;
  #device;
  #children = new Set();

  /**
   * @param folder - where each has a folder of its own, and NCCL writes what it does
   * @param device - of both: `cuda`, of which each sees one GPU, or `cpu`
   */
  static async connect(folder, device) {
    const problem = TwoMachines.problem();
    const machines = problem === undefined ? await TwoMachines.connect() : undefined;
    const where =
      machines === undefined ? `the loopback of one host (${problem})` : 'two network namespaces';
    return new TwoLaunches(machines, where, folder, device);
  }

  constructor(machines, where, folder, device) {
    this.#machines = machines;
    this.#folder = folder;
    this.#device = device;
    /** What joins them, in words. */
    this.where = where;
    for (const rank of ends) mkdirSync(join(folder, `${rank}`), { recursive: true });
  }

  /** Both at once, in folders of their own. @returns the two, as `start` gives them */
  async start(args) {
    const port = this.#machines === undefined ? await freePort() : 29500;
    return ends.map((rank) => this.#start(rank, port, args));
  }

  /** A file of the run of rank 0. */
  path(...names) {
    return join(this.#folder, '0', ...names);
  }

  /** Lines of `metrics.jsonl`; none before there is one. */
  metrics(run) {
    try {
      const text = readFileSync(this.path(run, 'metrics.jsonl'), 'utf8');
      const whole = text.slice(0, text.lastIndexOf('\n') + 1);
      return whole
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    } catch (error) {
      if (error.code === 'ENOENT') return [];
      throw error;
    }
  }

  /** What NCCL said of its connections. */
  ncclLog() {
    return readdirSync(this.#folder)
      .filter((name) => name.startsWith('nccl-'))
      .map((name) => readFileSync(join(this.#folder, name), 'utf8'))
      .join('');
  }

  remove() {
    for (const child of this.#children) child.kill('SIGKILL');
    this.#machines?.remove();
  }

  #start(rank, port, args) {
    const machine = [this.#machines?.first, this.#machines?.second][rank];
    const words = [process.execPath, main, ...args];
    const [program, ...rest] = machine === undefined ? words : machine.command(words);
    const child = spawn(program, rest, {
      cwd: join(this.#folder, `${rank}`),
      env: {
        ...process.env,
        ...this.#network(port),
        ...(this.#device === 'cpu' ? {} : { CUDA_VISIBLE_DEVICES: gpuOf(rank) }),
        RANK: `${rank}`,
        LOCAL_RANK: '0',
        WORLD_SIZE: '2',
        // Everything of one host that NCCL would take before sockets.
        NCCL_P2P_DISABLE: '1',
        NCCL_SHM_DISABLE: '1',
        NCCL_IB_DISABLE: '1',
        NCCL_DEBUG: 'INFO',
        NCCL_DEBUG_SUBSYS: 'INIT,NET,P2P,SHM,ENV,BOOTSTRAP',
        NCCL_DEBUG_FILE: join(this.#folder, `nccl-${rank}.%p`),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    let output = '';
    for (const stream of ['stdout', 'stderr'])
      child[stream].setEncoding('utf8').on('data', (text) => (output += text));
    const ended = once(child, 'close').then(([status, signal]) => {
      this.#children.delete(child);
      return { status, signal, output };
    });
    return { ended, kill: () => child.kill('SIGKILL') };
  }

  #network(port) {
    const [address, name] =
      this.#machines === undefined ? ['127.0.0.1', 'lo'] : [this.#machines.first.address, 'cable'];
    return { MASTER_ADDR: address, MASTER_PORT: `${port}`, NCCL_SOCKET_IFNAME: name };
  }
}

/** One of those that this process sees. */
function gpuOf(rank) {
  const seen = process.env.CUDA_VISIBLE_DEVICES;
  return seen === undefined || seen === '' ? `${rank}` : seen.split(',')[rank];
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

/**
 * CIFAR-10 made up, in the files of its binary version: noise, brighter in a tenth of the rows, and which one is the class. All files
 * are the same.
 */
export function writeImages(folder) {
  const [side, bytes] = [32, 3 * 32 * 32 + 1];
  const file = Buffer.alloc(records * bytes);
  let state = 1;
  for (let i = 0; i < file.length; i++) {
    const [record, at] = [Math.floor(i / bytes), i % bytes];
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const row = Math.floor((at - 1) / side) % side;
    const isBright = Math.floor((10 * row) / side) === record % 10;
    file[i] = at === 0 ? record % 10 : (state >>> 25) + (isBright ? 100 : 0);
  }
  const path = join(folder, 'cifar-10-batches-bin');
  mkdirSync(path, { recursive: true });
  for (const name of [
    'data_batch_1',
    'data_batch_2',
    'data_batch_3',
    'data_batch_4',
    'data_batch_5',
    'test_batch',
  ])
    writeFileSync(join(path, `${name}.bin`), file);
}

/** Waits until `isSo`, for as long as none of the launches has ended. @throws Error if one has */
export async function until(launches, isSo) {
  const early = Promise.race(launches.map(({ ended }) => ended));
  for (;;) {
    if (isSo()) return;
    const end = await Promise.race([early, pause(10)]);
    if (end !== undefined)
      throw new Error(`ended with ${end.status ?? end.signal} too early:\n${end.output}`);
  }
}
