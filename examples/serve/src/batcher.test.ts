import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Batched, Batcher } from './batcher.js';
import type { Clock } from './clock.js';
import { ManualClock } from './testing/manual-clock.js';

/** Runs that end when they are told to. */
function controlled() {
  const runs: { items: readonly number[]; end: (error?: Error) => void }[] = [];
  const run = (items: readonly number[]): Promise<number[]> =>
    new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        if (error) reject(error);
        else resolve(items.map((item) => 10 * item));
      };
      runs.push({ items, end });
    });
  return { runs, run };
}

const started = async (runs: readonly unknown[], count: number): Promise<void> => {
  while (runs.length < count) await nextTurn();
};

/** Runs that take no time. */
const squares = (items: readonly number[]): Promise<number[]> =>
  Promise.resolve(items.map((x) => x * x));

const sizes = async (results: readonly Promise<Batched<number>>[]): Promise<number[]> =>
  (await Promise.all(results)).map(({ batch }) => batch);

describe('a batcher', () => {
  it('gives every item its own result', async () => {
    const clock = new ManualClock();
    const batcher = new Batcher(squares, { maxBatch: 4, waitMs: 1, clock });
    const submitted = [1, 2, 3, 4, 5, 6].map((item) => batcher.submit(item));
    await Promise.all(submitted.slice(0, 4));
    expect(batcher.waiting).toBe(2);
    clock.advance(1);
    const results = await Promise.all(submitted);
    expect(results.map(({ value }) => value)).toEqual([1, 4, 9, 16, 25, 36]);
    expect(results.map(({ batch }) => batch)).toEqual([4, 4, 4, 4, 2, 2]);
  });

  it.each([0, 1, 5000])(
    'makes one batch of what is submitted in one turn, though it takes %i ms each time',
    async (lost) => {
      const clock = new ManualClock();
      // As when the process is preempted whenever it looks at the time.
      const preempted: Clock = {
        after: clock.after,
        now: () => {
          clock.lose(lost);
          return clock.now();
        },
      };
      for (const waitMs of [0, 1]) {
        const batcher = new Batcher(squares, { maxBatch: 4, waitMs, clock: preempted });
        const submitted = [1, 2, 3, 4, 5, 6].map((item) => batcher.submit(item));
        await Promise.all(submitted.slice(0, 4));
        clock.advance(1);
        expect(await sizes(submitted)).toEqual([4, 4, 4, 4, 2, 2]);
        const fewer = [1, 2, 3].map((item) => batcher.submit(item));
        clock.advance(1);
        expect(await sizes(fewer)).toEqual([3, 3, 3]);
      }
    },
  );

  it('takes along what came while its timer was late, even in the turn in which it goes off', async () => {
    const clock = new ManualClock();
    const batcher = new Batcher(squares, { maxBatch: 8, waitMs: 2, clock });
    const submitted = [batcher.submit(1)];
    clock.lose(5000);
    submitted.push(batcher.submit(2));
    clock.advance(0);
    submitted.push(batcher.submit(3));
    expect(await sizes(submitted)).toEqual([3, 3, 3]);
  });

  it('takes along what comes in small steps of one turn after a run', async () => {
    const clock = new ManualClock();
    const batcher = new Batcher(squares, { maxBatch: 2, waitMs: 0, clock });
    const submitted = [batcher.submit(1), batcher.submit(2)];
    for (let item = 3; item < 7; item++) {
      submitted.push(batcher.submit(item));
      await Promise.resolve();
    }
    expect(await sizes(submitted)).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it('puts what comes during a run into the next batch, at most maxBatch at a time', async () => {
    const { runs, run } = controlled();
    const batcher = new Batcher(run, { maxBatch: 3, waitMs: 0 });
    const first = batcher.submit(1);
    await started(runs, 1);
    const others = [2, 3, 4, 5].map((item) => batcher.submit(item));
    expect(batcher.waiting).toBe(4);
    runs[0]?.end();
    expect((await first).value).toBe(10);
    await started(runs, 2);
    expect(runs[1]?.items).toEqual([2, 3, 4]);
    runs[1]?.end();
    await started(runs, 3);
    expect(runs[2]?.items).toEqual([5]);
    runs[2]?.end();
    expect((await Promise.all(others)).map(({ value }) => value)).toEqual([20, 30, 40, 50]);
  });

  it('waits for company, but not once the batch is full', async () => {
    const { runs, run } = controlled();
    const clock = new ManualClock();
    const batcher = new Batcher(run, { maxBatch: 2, waitMs: 60_000, clock });
    const both = [batcher.submit(1)];
    clock.advance(59_999);
    await nextTurn();
    expect(runs).toHaveLength(0);
    both.push(batcher.submit(2));
    expect(runs.map(({ items }) => items)).toEqual([[1, 2]]);
    expect(clock.timers).toBe(0);
    runs[0]?.end();
    await Promise.all(both);
  });

  it('runs what has no company when its time is over, or when it is told to hurry', async () => {
    const { runs, run } = controlled();
    const clock = new ManualClock();
    const batcher = new Batcher(run, { maxBatch: 2, waitMs: 60_000, clock });
    const alone = batcher.submit(1);
    clock.advance(60_000);
    await started(runs, 1);
    clock.advance(7);
    runs[0]?.end();
    expect(await alone).toEqual({ value: 10, batch: 1, queueMs: 60_000, runMs: 7 });
    const next = batcher.submit(2);
    batcher.hurry();
    await started(runs, 2);
    const last = batcher.submit(3);
    runs[1]?.end();
    await next;
    await started(runs, 3);
    runs[2]?.end();
    expect((await last).value).toBe(30);
  });

  it('has nothing left to do when all that waited have gone in the turn of their batch', async () => {
    const { runs, run } = controlled();
    const batcher = new Batcher(run, { maxBatch: 2, waitMs: 0 });
    const gone = new AbortController();
    const dropped = batcher.submit(1, gone.signal);
    gone.abort(new Error('gone'));
    await expect(dropped).rejects.toThrow('gone');
    await nextTurn();
    expect(runs).toEqual([]);
    await batcher.close();
  });

  it('fails those of a batch whose run fails, and goes on', async () => {
    const { runs, run } = controlled();
    const batcher = new Batcher(run, { maxBatch: 2, waitMs: 0 });
    const failing = [batcher.submit(1)];
    await started(runs, 1);
    const next = batcher.submit(2);
    runs[0]?.end(new Error('out of memory'));
    await expect(failing[0]).rejects.toThrow('out of memory');
    await started(runs, 2);
    runs[1]?.end();
    expect((await next).value).toBe(20);
  });

  it('drops an item whose client has gone, before it costs anything', async () => {
    const { runs, run } = controlled();
    const batcher = new Batcher(run, { maxBatch: 8, waitMs: 0 });
    const first = batcher.submit(1);
    await started(runs, 1);
    const gone = new AbortController();
    const dropped = batcher.submit(2, gone.signal);
    const kept = batcher.submit(3);
    gone.abort(new Error('gone'));
    await expect(dropped).rejects.toThrow('gone');
    runs[0]?.end();
    await first;
    await started(runs, 2);
    expect(runs[1]?.items).toEqual([3]);
    runs[1]?.end();
    await kept;
  });

  it('finishes what it has when it is closed, at once, and takes nothing more', async () => {
    const { runs, run } = controlled();
    const batcher = new Batcher(run, { maxBatch: 8, waitMs: 60_000 });
    const last = batcher.submit(1);
    const closed = batcher.close();
    await started(runs, 1);
    await expect(batcher.submit(2)).rejects.toMatchObject({ statusCode: 503, code: 'stopping' });
    runs[0]?.end();
    await closed;
    expect((await last).value).toBe(10);
  });
});
