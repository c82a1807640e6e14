import { type Tensor, memoryStats, scope, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { inTurn } from './in-turn.js';

/** Live tensors within each of the layers, which add 1, 2, 3 and 4; and what comes out. */
function run(isSeen: boolean) {
  return scope(() => {
    const x = tensor([0]);
    const before = memoryStats().tensors;
    const counts: number[] = [];
    const step = (stream: Tensor, add: number): Tensor => {
      const next = stream.add(add);
      counts.push(memoryStats().tensors - before);
      return next;
    };
    const y = inTurn([1, 2, 3, 4], x, step, isSeen);
    return { counts, result: y.item(), isThere: !x.disposed };
  });
}

describe('inTurn', () => {
  it('has no more than two streams in memory at a time beside what it is given', () => {
    expect(run(false)).toEqual({ counts: [1, 2, 2, 2], result: 10, isThere: true });
  });

  it('leaves all of them to the scope while somebody looks, who may keep one', () => {
    expect(run(true)).toEqual({ counts: [1, 2, 3, 4], result: 10, isThere: true });
  });

  it('frees nothing that a layer only hands on', () => {
    scope(() => {
      const x = tensor([1]);
      expect(inTurn([1, 2], x, (stream) => stream)).toBe(x);
      const y = inTurn([1, 2, 3], x, (stream, i) => (i === 2 ? stream : stream.add(i)));
      expect([x.disposed, y.item()]).toEqual([false, 5]);
      expect(inTurn([], x, () => tensor([2]))).toBe(x);
    });
  });
});
