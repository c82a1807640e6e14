import { describe, expect, it } from 'vitest';
import { forEachLimited, Limiter } from './limit.js';

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('Limiter', () => {
  it('never runs more than its limit and runs all, failures included', async () => {
    const limiter = new Limiter(3);
    let running = 0;
    let most = 0;
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        limiter.run(async () => {
          most = Math.max(most, ++running);
          await turn();
          running--;
          if (i === 4) throw new Error('four');
          return i;
        }),
      ),
    );
    expect(most).toBe(3);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(19);
    expect(await limiter.run(() => Promise.resolve('after'))).toBe('after');
  });
});

describe('forEachLimited', () => {
  it('visits every number once, a few at a time', async () => {
    const seen: number[] = [];
    let running = 0;
    let most = 0;
    await forEachLimited(10, 4, async (i) => {
      most = Math.max(most, ++running);
      await turn();
      seen.push(i);
      running--;
    });
    expect(seen.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(most).toBe(4);
    await forEachLimited(0, 4, () => Promise.reject(new Error('never called')));
  });
});
