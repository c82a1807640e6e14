/** Real processes, joined by Gloo. */
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

interface Worker {
  readonly process: ChildProcess;
  readonly port: Promise<number>;
  readonly running: Promise<void>;
  readonly ended: Promise<{ code: number | null; signal: string | null; result: unknown }>;
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
  const chosen = new Promise<number>((resolve) => child.once('message', resolve as () => void));
  const ended = new Promise<Awaited<Worker['ended']>>((resolve) => {
    child.on('close', (code, signal) => {
      children.delete(child);
      const line = output.trim().split('\n').at(-1) ?? '';
      const result: unknown = line === '' ? errors : JSON.parse(line);
      resolve({ code, signal, result });
    });
  });
  return { process: child, port: chosen, running, ended };
}

/** Two workers; rank 0's store chooses the port. */
async function pair(mode: string, env: NodeJS.ProcessEnv = {}): Promise<[Worker, Worker]> {
  const zero = start(mode, 0, 0, env);
  return [zero, start(mode, 1, await zero.port, env)];
}

const ends = (workers: readonly Worker[]) => Promise.all(workers.map(({ ended }) => ended));

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
    [1, 0, 'endless'],
    [0, 1, 'endless'],
    [1, 0, 'settling'],
  ])('names rank %i within seconds when it is killed (%s, %s)', async (killed, survivor, mode) => {
    const workers = await pair(mode);
    await Promise.all(workers.map(({ running }) => running));
    const started = Date.now();
    workers[killed]?.process.kill('SIGKILL');
    const { result, code } = (await workers[survivor]?.ended) ?? {};
    expect(result).toMatchObject({ name: 'WorkerLostError', rank: killed });
    expect((result as Error).message).toMatch(new RegExp(`rank ${killed} is gone`));
    expect(code).toBe(1);
    // 2.5 s of silence and a few heartbeats, on a busy machine.
    expect(Date.now() - started).toBeLessThan(10_000);
  });

  it.each([
    [1, 0],
    [0, 1],
  ])('tells the others why rank %i failed', async (failing, survivor) => {
    const [zero, one] = await ends(await pair('endless', { FAIL_RANK: String(failing) }));
    const results = [zero, one];
    expect(results[failing]?.code).toBe(3);
    expect(results[survivor]?.result).toMatchObject({ name: 'WorkerLostError', rank: failing });
    expect((results[survivor]?.result as Error).message).toMatch(
      new RegExp(`rank ${failing} failed: out of luck`),
    );
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
