import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Batcher } from './batcher.js';

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
  while (runs.length < count) await sleep(1);
};

describe('a batcher', () => {
  it('gives every item its own result', async () => {
    const batcher = new Batcher(
      (items: readonly number[]) => Promise.resolve(items.map((x) => x * x)),
      {
        maxBatch: 4,
        waitMs: 1,
      },
    );
    const results = await Promise.all([1, 2, 3, 4, 5, 6].map((item) => batcher.submit(item)));
    expect(results.map(({ value }) => value)).toEqual([1, 4, 9, 16, 25, 36]);
    expect(results.map(({ batch }) => batch)).toEqual([4, 4, 4, 4, 2, 2]);
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
    const batcher = new Batcher(run, { maxBatch: 2, waitMs: 60_000 });
    const both = [batcher.submit(1)];
    await sleep(5);
    expect(runs).toHaveLength(0);
    both.push(batcher.submit(2));
    expect(runs.map(({ items }) => items)).toEqual([[1, 2]]);
    runs[0]?.end();
    await Promise.all(both);
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
