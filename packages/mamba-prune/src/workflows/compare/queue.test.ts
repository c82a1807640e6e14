import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type QueueOptions, type Task, runQueue } from './queue.js';

const tasks: Task[] = [
  { name: 'a' },
  { name: 'a1', after: 'a' },
  { name: 'a2', after: 'a' },
  { name: 'b' },
  { name: 'b1', after: 'b' },
];

interface Watched {
  readonly order: string[];
  readonly most: () => number;
  readonly run: QueueOptions<Task>['run'];
}

/** Tasks that take a turn of the event loop, and notice when they are to stop. */
function watched(
  behaviour: Record<string, 'fail' | 'long'> = {},
  onLong: () => void = () => undefined,
): Watched {
  const order: string[] = [];
  let [now, most] = [0, 0];
  return {
    order,
    most: () => most,
    run: async ({ name }, signal) => {
      order.push(name);
      most = Math.max(most, ++now);
      try {
        if (behaviour[name] === 'long') {
          const stopped = once(signal, 'abort');
          onLong();
          await stopped;
          return false;
        }
        await nextTurn();
        if (behaviour[name] === 'fail') throw new Error(`${name} failed`);
        return true;
      } finally {
        now--;
      }
    },
  };
}

describe('runQueue', () => {
  it('does one after the other in their order', async () => {
    const { run, order, most } = watched();
    expect(await runQueue(tasks, { limit: 1, done: [], run })).toBe(true);
    expect(order).toEqual(['a', 'a1', 'a2', 'b', 'b1']);
    expect(most()).toBe(1);
  });

  it('does several at once, none before the one it needs', async () => {
    const { run, order, most } = watched();
    expect(await runQueue(tasks, { limit: 2, done: [], run })).toBe(true);
    expect(order.slice(0, 2)).toEqual(['a', 'b']);
    expect(most()).toBe(2);
  });

  it('leaves out what is done', async () => {
    const { run, order } = watched();
    expect(await runQueue(tasks, { limit: 1, done: ['a', 'a1', 'b'], run })).toBe(true);
    expect(order).toEqual(['a2', 'b1']);
  });

  it('begins nothing after an error, stops the rest, and throws it at the end', async () => {
    const { run, order } = watched({ a: 'fail', b: 'long' });
    await expect(runQueue(tasks, { limit: 2, done: [], run })).rejects.toThrow('a failed');
    expect(order).toEqual(['a', 'b']);
  });

  it('stops when the signal says so', async () => {
    const stop = new AbortController();
    const { run, order } = watched({ a1: 'long' }, () => {
      stop.abort();
    });
    expect(await runQueue(tasks, { limit: 1, done: [], run, signal: stop.signal })).toBe(false);
    expect(order).toEqual(['a', 'a1']);
  });

  it('begins nothing when the signal has spoken already', async () => {
    const { run, order } = watched();
    const signal = AbortSignal.abort();
    expect(await runQueue(tasks, { limit: 2, done: [], run, signal })).toBe(false);
    expect(order).toEqual([]);
  });
});
