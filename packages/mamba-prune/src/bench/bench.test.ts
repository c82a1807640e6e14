import { type Tensor, copyOf, nn, randn } from '@mamba-prune/libtorch';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeGraphs } from '../training/testing/fake-graphs.js';
import { benchmarkModels } from './bench.js';
import { median, quantile, spreadOf } from '../statistics.js';

// A clock that only the models move: what is measured does not depend on the machine.
let clock = 0;

beforeEach(() => {
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
});

afterEach(() => {
  vi.restoreAllMocks();
});

/** A model that takes the next of its times at each call, over and over. */
function taking(name: string, ...ms: number[]): { name: string; forward: (x: Tensor) => Tensor } {
  let calls = 0;
  return {
    name,
    forward: (x) => {
      clock += ms[calls++ % ms.length] ?? 0;
      return x;
    },
  };
}

describe('benchmarkModels', () => {
  it('compares each round with the first model and gives the spread', async () => {
    const results = await benchmarkModels([taking('a', 4), taking('same', 4), taking('b', 1, 2)], {
      inputShape: [1],
      batches: [1, 8],
      rounds: 4,
      minRoundMs: 0,
      warmup: 2,
    });
    expect(results.map(({ model, batch }) => `${model} ${batch}`)).toEqual([
      'a 1',
      'same 1',
      'b 1',
      'a 8',
      'same 8',
      'b 8',
    ]);
    const [a, same, b, a8] = results;
    const one = { median: 1, q1: 1, q3: 1, min: 1, max: 1 };
    expect(a).toMatchObject({ medianMs: 4, p10Ms: 4, p90Ms: 4, calls: 4, speedup: one });
    expect(same?.speedup).toEqual(one);
    // 1 ms in two of the rounds and 2 ms in the other two: 4 and 2 times faster.
    expect(b).toMatchObject({
      medianMs: 1.5,
      speedup: { median: 3, q1: 2, q3: 4, min: 2, max: 4 },
    });
    expect(a?.imagesPerSecond).toBe(250);
    expect(a8?.imagesPerSecond).toBe(2000);
  });

  it('repeats a call until the time of a round is over', async () => {
    const [result] = await benchmarkModels([taking('a', 4)], {
      inputShape: [1],
      batches: [1],
      rounds: 3,
      minRoundMs: 10,
    });
    expect(result?.calls).toBe(3 * 3);
  });

  it('times without gradients in evaluation mode and puts the mode back', async () => {
    const seen: boolean[] = [];
    const module = {
      training: true,
      train(on = true) {
        this.training = on;
      },
    };
    const weight = randn([3, 3]);
    weight.requiresGrad = true;
    await benchmarkModels(
      [
        {
          name: 'm',
          module,
          forward: (x) => {
            const y = x.matmul(weight);
            seen.push(module.training || y.requiresGrad);
            return y;
          },
        },
      ],
      { inputShape: [3], batches: [2], rounds: 1, minRoundMs: 0 },
    );
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).not.toContain(true);
    expect(module.training).toBe(true);
  });

  it('counts its rounds', async () => {
    const progress: string[] = [];
    await benchmarkModels([taking('a', 0)], {
      inputShape: [1],
      batches: [1, 2],
      rounds: 2,
      minRoundMs: 0,
      onProgress: (done, total) => progress.push(`${done}/${total}`),
    });
    expect(progress).toEqual(['1/4', '2/4', '3/4', '4/4']);
  });

  it('stops between two rounds', async () => {
    const controller = new AbortController();
    let rounds = 0;
    const stopped = benchmarkModels([taking('a', 0)], {
      inputShape: [1],
      minRoundMs: 0,
      signal: controller.signal,
      onProgress: () => {
        if (++rounds === 2) controller.abort('enough');
      },
    });
    await expect(stopped).rejects.toBe('enough');
    expect(rounds).toBe(2);
  });

  it('refuses an empty list and batches that are none', async () => {
    await expect(benchmarkModels([], { inputShape: [1] })).rejects.toThrow('got no model');
    await expect(
      benchmarkModels([taking('a', 0)], { inputShape: [1], batches: [0] }),
    ).rejects.toThrow('batch: got 0, expected an integer of at least 1');
  });

  it('refuses a turn that would never end', async () => {
    const options = { inputShape: [1], minRoundMs: Infinity };
    await expect(benchmarkModels([taking('a', 0)], options)).rejects.toThrow(
      'minRoundMs: got Infinity, expected a number of at least 0',
    );
  });
});

describe('statistics', () => {
  it('interpolates quantiles', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(median([5, 1, 3])).toBe(3);
    expect(spreadOf([4, 0, 1, 3, 2])).toEqual({ median: 2, q1: 1, q3: 3, min: 0, max: 4 });
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('benchmarkModels on a GPU', () => {
  it('replays a graph of each pass, timed in groups, and says so', async () => {
    const graphBackend = new FakeGraphs();
    const [result] = await benchmarkModels([taking('a', 0.5)], {
      inputShape: [1],
      batches: [4],
      rounds: 2,
      minRoundMs: 2,
      warmup: 1,
      graphBackend,
    });
    expect(result).toMatchObject({ medianMs: 0.5, imagesPerSecond: 8000, graph: 'replayed' });
    // Two to find that 4 calls take 2 ms, then one group in each round.
    expect(graphBackend).toMatchObject({ captures: 1, replays: 2 + 2 * 4, live: 0 });
  });

  it('times the calls themselves where the capture fails, and says why', async () => {
    const [result] = await benchmarkModels([taking('a', 5)], {
      inputShape: [1],
      batches: [1],
      rounds: 2,
      minRoundMs: 0,
      graphBackend: new FakeGraphs('not permitted'),
    });
    expect(result).toMatchObject({
      medianMs: 5,
      calls: 2,
      graph: 'the capture failed: not permitted',
    });
  });

  it('gives images in bfloat16, and keeps copies of the weights for that long', async () => {
    const module = new nn.Linear(3, 2);
    const seen = new Set<string>();
    const forward = (x: Tensor): Tensor => {
      const copy = copyOf(module.weight, 'bfloat16');
      seen.add(`${x.dtype} ${copy?.dtype ?? 'none'}`);
      clock += 1;
      return module.forward(x);
    };
    await benchmarkModels([{ name: 'a', module, forward }], {
      inputShape: [3],
      batches: [1],
      rounds: 1,
      minRoundMs: 0,
      precision: 'bf16',
    });
    expect([...seen]).toEqual(['bfloat16 bfloat16']);
    expect(copyOf(module.weight, 'bfloat16')).toBeUndefined();
  });
});
