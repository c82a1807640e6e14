// Real processes, joined by Gloo.
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledLibtorch } from '../../../../test/support/transpiled.js';
import { ProcessGroup } from './process-group.js';

const built = transpiledLibtorch();
const script = join(built.src, 'distributed', 'testing', 'group-child.mjs');
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  built.remove();
});

interface End {
  readonly code: number | null;
  readonly signal: string | null;
  /** The last line, parsed; the whole output where that is no JSON. */
  readonly result: unknown;
  readonly errors: string;
}

interface Worker {
  readonly process: ChildProcess;
  readonly port: Promise<number>;
  readonly running: Promise<void>;
  readonly ended: Promise<End>;
}

function start(mode: string, rank: number, port: number, env: NodeJS.ProcessEnv = {}): Worker {
  const child = fork(script, [mode], {
    env: {
      ...process.env,
      OMP_NUM_THREADS: '1',
      RANK: String(rank),
      WORLD_SIZE: '2',
      LOCAL_RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: String(port),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  children.add(child);
  let output = '';
  let errors = '';
  child.stderr?.on('data', (text: Buffer) => (errors += text.toString()));
  const running = new Promise<void>((resolve) => {
    child.stdout?.on('data', (text: Buffer) => {
      output += text.toString();
      resolve();
    });
  });
  const ended = new Promise<End>((resolve) => {
    child.on('close', (code, signal) => {
      children.delete(child);
      resolve({ code, signal, result: parsed(output), errors });
    });
  });
  const chosen = new Promise<number>((resolve, reject) => {
    child.once('message', resolve as () => void);
    void ended.then((end) => {
      reject(new Error(`rank ${rank} ended before it listened: ${JSON.stringify(end)}`));
    });
  });
  // Only who waits for a port wants to know that there is none.
  chosen.catch(() => undefined);
  return { process: child, port: chosen, running, ended };
}

function parsed(output: string): unknown {
  try {
    return JSON.parse(output.trim().split('\n').at(-1) ?? '') as unknown;
  } catch {
    return output;
  }
}

/** As many workers as asked for; rank 0's store chooses the port. */
async function team(
  mode: string,
  size: number,
  envOf: (rank: number) => NodeJS.ProcessEnv = () => ({}),
): Promise<Worker[]> {
  const env = (rank: number) => ({ WORLD_SIZE: String(size), ...envOf(rank) });
  const zero = start(mode, 0, 0, env(0));
  const port = await zero.port;
  const others = Array.from({ length: size - 1 }, (_, i) => i + 1);
  return [zero, ...others.map((rank) => start(mode, rank, port, env(rank)))];
}

const pair = (mode: string, env: NodeJS.ProcessEnv = {}) => team(mode, 2, () => env);
const ends = (workers: readonly Worker[]) => Promise.all(workers.map(({ ended }) => ended));

/** That a worker ended by itself, and named the one that is gone; shows all that it said otherwise. */
function expectNamed(end: End | undefined, lost: number, message = 'is gone'): void {
  expect(end, JSON.stringify(end)).toMatchObject({
    code: 1,
    signal: null,
    result: {
      name: 'WorkerLostError',
      rank: lost,
      message: expect.stringContaining(`rank ${lost} ${message}`) as string,
    },
  });
}

/** So long that silence tells nothing before the test's own end: what is noticed is the end of the process. */
const byItsEnd = { SILENCE_MS: '1000000' };

describe('ProcessGroup', () => {
  it('sums and broadcasts between two processes', async () => {
    for (const { code, result } of await ends(await pair('collectives'))) {
      const expected = { text: 'grüße', other: 'back', sum: [2, 1, 1], versions: [true, true] };
      expect(result).toMatchObject(expected);
      expect((result as { refused: string }).refused).toMatch(/expected a contiguous tensor/);
      expect(code).toBe(0);
    }
  });

  it.each([
    [0, 2, 'endless'],
    [1, 2, 'endless'],
    [0, 3, 'endless'],
    [1, 3, 'endless'],
    [0, 2, 'training'],
    [1, 2, 'training'],
    [0, 3, 'training'],
    [1, 2, 'settling'],
    [1, 2, 'late'],
  ])('names rank %i of %i, whom it misses, when that is killed (%s)', async (lost, size, mode) => {
    const workers = await team(mode, size, () => byItsEnd);
    await Promise.all(workers.map(({ running }) => running));
    workers[lost]?.process.kill('SIGKILL');
    const all = await ends(workers);
    expect(all[lost]).toMatchObject({ code: null, signal: 'SIGKILL' });
    for (const [rank, end] of all.entries()) if (rank !== lost) expectNamed(end, lost);
  });

  it.each([0, 1])('names rank %i when it falls silent', async (lost) => {
    const workers = await team('endless', 2, () => ({ SILENCE_MS: '4000' }));
    await Promise.all(workers.map(({ running }) => running));
    workers[lost]?.process.kill('SIGSTOP');
    expectNamed(await workers[1 - lost]?.ended, lost);
    workers[lost]?.process.kill('SIGKILL');
  });

  it.each([
    [0, 3, 'groupOpen'],
    [1, 3, 'groupOpen'],
    [2, 3, 'groupOpen'],
    // A third that comes after rank 0 has ended over this finds nobody who could name rank 1.
    [1, 2, 'storeGet'],
  ])(
    'names rank %i of %i when it is killed while it joins, before %s',
    async (lost, size, before) => {
      const workers = await team('endless', size, (rank) => ({
        // Before it has a monitor only silence can tell.
        SILENCE_MS: '4000',
        ...(rank === lost ? { DIE_BEFORE: before } : {}),
      }));
      const all = await ends(workers);
      for (const [rank, end] of all.entries()) if (rank !== lost) expectNamed(end, lost);
    },
  );

  it.each([
    [1, 0],
    [0, 1],
  ])('tells the others why rank %i failed', async (failing, survivor) => {
    const all = await ends(await pair('endless', { FAIL_RANK: String(failing), ...byItsEnd }));
    expect(all[failing], JSON.stringify(all)).toMatchObject({ code: 3, signal: null });
    expectNamed(all[survivor], failing, 'failed: out of luck');
  });

  it('tells the others why a worker cannot join', async () => {
    const workers = await team('endless', 2, (rank) =>
      rank === 1 ? { GLOO_SOCKET_IFNAME: 'none0' } : {},
    );
    const [zero, one] = await ends(workers);
    expect(one?.result).toMatchObject({ name: 'DistributedError' });
    expectNamed(zero, 1, 'failed: ');
  });

  it('tells all workers which of them differs', async () => {
    const workers = await team('endless', 2, (rank) => ({ WORLD_SIZE: String(2 + rank) }));
    for (const { result, signal } of await ends(workers)) {
      expect(signal).toBeNull();
      expect((result as Error).message).toMatch(
        /rank 1 has 3 workers, libtorch .*, expected as rank 0 2 workers/,
      );
    }
  });

  it('refuses a rank that is there already', async () => {
    const env = { WORLD_SIZE: '3' };
    const zero = start('endless', 0, 0, env);
    const port = await zero.port;
    const twins = [start('endless', 1, port, env), start('endless', 1, port, env)];
    const end = await Promise.race(twins.map(({ ended }) => ended));
    expect(end, JSON.stringify(end)).toMatchObject({
      code: 1,
      result: { name: 'DistributedError' },
    });
    expect((end.result as Error).message).toMatch(/rank 1 is there already/);
    for (const { process } of [zero, ...twins]) process.kill('SIGKILL');
  });

  it('names the ranks that do not come', async () => {
    const { result } = await start('alone', 0, 0).ended;
    expect(result).toMatchObject({ name: 'DistributedError' });
    expect((result as Error).message).toMatch(/rank 1 of 2 did not come in time/);
  });

  it('says where it looked for rank 0 when nobody listens there', async () => {
    // Port 1 needs no guess: nothing that is not the system's own may listen there.
    const { result } = await start('alone', 1, 1).ended;
    expect((result as Error).message).toMatch(/no answer from rank 0 at 127.0.0.1:1/);
  });

  it('stops waiting for the others at an abort', async () => {
    const config = { rank: 0, workers: 2, localRank: 0, host: '127.0.0.1', port: 0 };
    const controller = new AbortController();
    const opened = ProcessGroup.open(config, {
      signal: controller.signal,
      onListening: () => {
        controller.abort();
      },
    });
    await expect(opened).rejects.toThrow(/abort/i);
  });
});

describe('GradientBuckets', () => {
  it('gives two processes the gradients of one, while backward still runs', async () => {
    interface Result {
      averaged: number[][];
      whole: number[][];
      early: number[];
      count: number;
      unusedGrad: unknown;
    }
    for (const { result } of await ends(await pair('gradients'))) {
      const { averaged, whole, early, count, unusedGrad } = result as Result;
      expect(averaged).toHaveLength(4);
      averaged.forEach((gradient, i) => {
        expect(gradient).toHaveLength(whole[i]?.length ?? NaN);
        const worst = Math.max(...gradient.map((x, k) => Math.abs(x - (whole[i]?.[k] ?? NaN))));
        // Gradients are about 0.1; the sum over 12 samples is taken in another order: a few float32
        // roundings of 6e-9 each.
        expect(worst).toBeLessThan(1e-7);
      });
      expect(count).toBe(3);
      expect(early).toEqual([2, 2]);
      // Nothing used it, so that its bucket waited for the end.
      expect(unusedGrad).toBeNull();
    }
  });
});
