import { type Tensor, noGrad, randn } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import type { KeptUnits } from '../models/groups.js';
import { gateGradients } from './measure.js';
import { type RefillOptions, pruneWithRefill, refillCounts, refillUnits } from './refill.js';
import { chooseUnits } from './select-units.js';
import {
  TwoLayer,
  calibrationOf,
  randomImages,
  setWeight,
  smallMamba,
  weightOf,
} from './testing/models.js';

const base = {
  rates: { ssm: 0.7, mlp: 0.6 },
  importance: 'l2',
  ranking: 'global',
  fillback: 0.25,
} as const satisfies RefillOptions;

const lists = (kept: KeptUnits): [string, readonly number[]][] => [...kept];

const counts = (kept: KeptUnits): Record<string, number> =>
  Object.fromEntries(Array.from(kept, ([name, units]) => [name, units.length]));

describe('refillCounts', () => {
  const add = (size: number, target: number, fillback: number, roundTo = 1): unknown =>
    refillCounts(size, target, { fillback, roundTo });
  const keep = (size: number, target: number, fillback: number): unknown =>
    refillCounts(size, target, { fillback, budget: 'keep' });

  it('lets floor(n + (C - n) f) units survive under add', () => {
    expect(add(384, 115, 0)).toEqual({ first: 115, final: 115 });
    expect(add(384, 115, 0.1)).toEqual({ first: 115, final: 141 }); // 115 + 26.9
    expect(add(384, 115, 1)).toEqual({ first: 115, final: 384 });
    expect(add(10, 9, 0.99)).toEqual({ first: 9, final: 9 });
    // 2 + 100 * 0.29 is 30.999999999999996 in floating point.
    expect(add(102, 2, 0.29)).toEqual({ first: 2, final: 31 });
  });

  it('rounds the survivors up to a multiple, but not over the group', () => {
    expect(add(384, 120, 0.1, 8)).toEqual({ first: 120, final: 152 }); // 146.4
    expect(add(30, 24, 0.9, 8)).toEqual({ first: 24, final: 30 });
  });

  it('cuts deeper first under keep, and ends with n', () => {
    expect(keep(384, 115, 0)).toEqual({ first: 115, final: 115 });
    // (115 - 38.4) / 0.9 = 85.1
    expect(keep(384, 115, 0.1)).toEqual({ first: 86, final: 115 });
    // A group that the ranking leaves whole is not cut first, even where all would return.
    for (const fillback of [0.1, 1]) {
      expect(keep(384, 384, fillback)).toEqual({ first: 384, final: 384 });
    }
  });

  it('solves floor(m + (C - m) f) = n for the smallest m wherever there is one', () => {
    for (const size of [1, 2, 7, 32, 100]) {
      for (const fillback of [0, 0.1, 0.29, 0.5, 0.75, 0.9]) {
        for (let target = 1; target <= size; target++) {
          const survivors = (m: number): number => Math.floor(m + (size - m) * fillback + 1e-9);
          const all = Array.from({ length: size }, (_, i) => i + 1);
          const smallest = all.find((m) => survivors(m) === target);
          const where = `C ${size}, n ${target}, f ${fillback}`;
          const got = refillCounts(size, target, { fillback, budget: 'keep' });
          expect(got.final, where).toBe(target);
          // A group that stays whole is not cut first; a far cut one keeps a single unit.
          expect(got.first, where).toBe(target === size ? size : (smallest ?? 1));
        }
      }
    }
  });

  it('keeps one unit in the first cut where the share to regain is all', () => {
    expect(keep(32, 10, 1)).toEqual({ first: 1, final: 10 });
  });
});

describe('refillUnits', () => {
  it('is plain pruning for fillback 0', async () => {
    const model = smallMamba();
    for (const budget of ['add', 'keep'] as const) {
      const choice = await refillUnits(model, { ...base, fillback: 0, budget });
      const plain = await chooseUnits(model, base);
      expect(lists(choice.kept)).toEqual(lists(plain));
      expect(lists(choice.selected)).toEqual(lists(plain));
      expect(Array.from(choice.returned.values()).flat()).toEqual([]);
    }
  });

  it('gives back the dense model bit for bit for fillback 1', async () => {
    const model = smallMamba({ scan: 'bi' });
    const images = randn([2, 3, 12, 12]);
    for (const refillScore of ['magnitude', 'gradient'] as const) {
      const options = { ...base, fillback: 1, refillScore };
      const result = await pruneWithRefill(model, options, randomImages(model, [2]));
      expect(result.model).not.toBe(model);
      expect(result.selected.get('blocks.0.mlp')?.length).toBeLessThan(64);
      const dense = model.stateDict();
      for (const [name, tensor] of result.model.stateDict()) {
        expect(tensor.equal(dense.get(name) as Tensor), name).toBe(true);
      }
      const logits = (m: ImageModel): Tensor => noGrad(() => m.forward(images));
      expect(logits(result.model).equal(logits(model))).toBe(true);
    }
  });

  it('brings back as many as defined, per group with the number that the ranking kept', async () => {
    const model = smallMamba();
    noGrad(() => {
      // The second block's channels weigh little: global ranking cuts it further.
      weightOf(model, 'blocks.1.ssm.out_proj.weight').narrow(1, 0, 20).mul_(0.2);
    });
    const { kept, selected, returned } = await refillUnits(model, base);
    expect(counts(selected)['blocks.0.ssm']).not.toBe(counts(selected)['blocks.1.ssm']);
    for (const { name, size } of model.pruningGroups().filter(({ optional }) => !optional)) {
      const [n = 0, k = 0] = [selected, kept].map((units) => units.get(name)?.length);
      expect(k).toBe(Math.floor(n + (size - n) * 0.25));
      const both = [...(selected.get(name) ?? []), ...(returned.get(name) ?? [])];
      expect(kept.get(name)).toEqual(both.sort((a, b) => a - b));
      expect(new Set(both).size).toBe(k);
    }
  });

  it('restores the next best units with the weights that they had', async () => {
    const model = new TwoLayer({ units: 5 });
    setWeight(model, 'fc1.weight', [1, 0, 5, 0, 3, 0, 4, 0, 2, 0]);
    setWeight(model, 'fc2.weight', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const options = {
      rates: { neurons: 0.6 },
      importance: 'l1',
      ranking: 'layer',
      fillback: 0.4,
    } as const;
    const { model: pruned, ...choice } = await pruneWithRefill(model, options);
    expect(choice.selected.get('hidden')).toEqual([1, 3]); // 5 and 4
    expect(choice.returned.get('hidden')).toEqual([2]); // 3; k = floor(2 + 3 * 0.4) = 3
    expect(choice.kept.get('hidden')).toEqual([1, 2, 3]);
    expect(weightOf(pruned, 'fc1.weight').toNumbers()).toEqual([5, 0, 3, 0, 4, 0]);
    expect(weightOf(pruned, 'fc1.bias').toNumbers()).toEqual(
      weightOf(model, 'fc1.bias').toNumbers().slice(1, 4),
    );
  });

  it('gives ties to the lower index', async () => {
    const model = new TwoLayer({ units: 6 });
    setWeight(model, 'fc1.weight', Array<number>(12).fill(1));
    setWeight(model, 'fc2.weight', Array<number>(12).fill(1));
    const options = { rates: { neurons: 0.5 }, importance: 'l1', ranking: 'layer' } as const;
    for (const refillScore of ['magnitude', 'gradient'] as const) {
      // Equal weights have equal gradients too: zero here, since both logits are the same.
      setWeight(model, 'fc1.bias', Array<number>(6).fill(0.5));
      const choice = await refillUnits(
        model,
        { ...options, fillback: 0.4, refillScore },
        randomImages(model, [2]),
      );
      expect(choice.selected.get('hidden')).toEqual([0, 1, 2]);
      expect(choice.returned.get('hidden')).toEqual([3]);
    }
  });

  it('ends with the size of plain pruning under budget keep', async () => {
    const model = smallMamba();
    const plain = await chooseUnits(model, base);
    const options = { ...base, budget: 'keep', refillScore: 'gradient' } as const;
    const { kept, selected, returned } = await refillUnits(
      model,
      options,
      randomImages(model, [4]),
    );
    expect(counts(kept)).toEqual(counts(plain));
    expect(Array.from(returned.values()).flat().length).toBeGreaterThan(10);
    expect(counts(selected)).not.toEqual(counts(plain));
    expect(lists(kept)).not.toEqual(lists(plain)); // another choice
    // Those return that matter most beside the units of the first, deeper cut.
    const groups = model.pruningGroups().filter(({ name }) => kept.has(name));
    const worth = await gateGradients(model, groups, selected, randomImages(model, [4]));
    for (const [name, units] of kept) {
      const values = worth.get(name) ?? [];
      const removed = Array.from(values.keys()).filter((u) => !selected.get(name)?.includes(u));
      const best = removed.sort((a, b) => (values[b] ?? NaN) - (values[a] ?? NaN));
      const count = units.length - (selected.get(name)?.length ?? NaN);
      expect(returned.get(name)).toEqual(best.slice(0, count).sort((a, b) => a - b));
    }
    // By magnitude the next best return: the very units that plain pruning keeps.
    const byMagnitude = await refillUnits(model, { ...base, budget: 'keep' });
    expect(lists(byMagnitude.kept)).toEqual(lists(plain));
  });

  it('keeps to round-to and refills states and ranks by magnitude', async () => {
    const model = smallMamba({ dState: 8 });
    const { kept } = await refillUnits(model, {
      rates: { ssm: 0.6, state: 0.5, dt_rank: 0 },
      importance: 'l1',
      ranking: 'layer',
      roundTo: 4,
      fillback: 0.3,
    });
    // ssm: n = 13 -> 16, floor(16 + 16 * 0.3) = 20; state: n = 4, floor(4 + 4 * 0.3) = 5 -> 8.
    expect(counts(kept)).toEqual({
      'blocks.0.ssm': 20,
      'blocks.0.state': 8,
      'blocks.0.dt_rank': 1,
      'blocks.1.ssm': 20,
      'blocks.1.state': 8,
      'blocks.1.dt_rank': 1,
    });
  });
});

describe('the refill score gradient', () => {
  /**
   * Neurons over pixels (p, q), with readers (class 0 minus class 1 is what matters):
   * 0: relu(p), read strongly: kept first. 1: relu(p) again, a copy read less strongly: most useful
   * of the rest by magnitude, useless beside 0, since it says nothing new where 0 is sure already.
   * 2: relu(q), the only one that sees q, read weakly.
   */
  const planted = (): TwoLayer => {
    const model = new TwoLayer({ units: 3 });
    setWeight(model, 'fc1.weight', [10, 0, 5, 0, 0, 1]);
    setWeight(model, 'fc1.bias', [0, 0, 0]);
    setWeight(model, 'fc2.weight', [2, 1, -0.5, -2, -1, 0.5]);
    return model;
  };
  // p = 1 is class 0; where p = 0, q = 1 is class 1.
  const images = randn([4, 2, 1, 1]);
  images.copy_(images.mul(0));
  images.narrow(0, 0, 2).select(1, 0).fill_(1);
  images.narrow(0, 2, 2).select(1, 1).fill_(1);
  const calibration = calibrationOf(images, [0, 0, 1, 1], [3, 1]);
  const options = {
    rates: { neurons: 2 / 3 },
    importance: 'l1',
    ranking: 'layer',
    fillback: 0.5,
  } as const;

  it('finds the unit that is needed given those kept, where magnitude does not', async () => {
    const choose = async (refillScore: 'magnitude' | 'gradient'): Promise<unknown> => {
      const choice = await refillUnits(planted(), { ...options, refillScore }, calibration);
      expect(choice.selected.get('hidden')).toEqual([0]);
      return choice.kept.get('hidden');
    };
    expect(await choose('magnitude')).toEqual([0, 1]);
    expect(await choose('gradient')).toEqual([0, 2]);
  });

  it('is |dL/dg| at g = 0 of the removed units, as a hand computes', async () => {
    const model = planted();
    const kept = new Map([['hidden', [0]]]);
    const got = await gateGradients(model, model.pruningGroups(), kept, calibration);
    // With neuron 0 alone the difference of the logits is 40 where p = 1, and 0 where q = 1.
    // dL/dg = sum over classes of (softmax - label) a h: where p = 1, softmax is (1 - e^-40, e^-40),
    // a step of 0; where q = 1, (1/2 - 0)(-0.5) + (1/2 - 1)(0.5) = -0.5 for neuron 2, in half of the
    // images.
    const [first = NaN, copy = NaN, other = NaN] = got.get('hidden') ?? [];
    expect(first).toBeLessThan(1e-12); // e^-40 * 20 = 8e-17; float32 rounds 1 - e^-40 to 1
    expect(copy).toBeLessThan(1e-12);
    expect(other).toBeCloseTo(0.25, 7); // float32: log 1/2 is rounded to 24 bits
  });
});

describe('bad options for refill', () => {
  const attempt = (options: object, calibration = false): Promise<unknown> => {
    const model = smallMamba();
    const images = calibration ? randomImages(model, [2]) : undefined;
    return refillUnits(model, { ...base, ...options }, images);
  };

  it('are refused with what was expected', async () => {
    for (const fillback of [-0.1, 1.5, Number.NaN]) {
      await expect(attempt({ fillback })).rejects.toThrow(/fillback: got .*from 0 .*to 1/);
    }
    await expect(attempt({ refillScore: 'best' })).rejects.toThrow(
      /`refillScore`: got 'best', expected one of magnitude, gradient/,
    );
    await expect(attempt({ budget: 'spend' })).rejects.toThrow(
      /`budget`: got 'spend', expected one of add, keep/,
    );
    await expect(attempt({ refillScore: 'gradient' })).rejects.toThrow(
      /`refillScore` gradient: got no images.*`refillScore` magnitude/,
    );
    const states = { rates: { ssm: 0.5, state: 0.5 }, refillScore: 'gradient' };
    await expect(attempt(states, true)).rejects.toThrow(
      /`refillScore` gradient: got group 'blocks.0.state' of kind state.*leave the kind state out/,
    );
    await expect(attempt({ rates: { heads: 0.5 } })).rejects.toThrow(UsageError);
    await expect(attempt({ rates: { ssm: 1 } })).rejects.toThrow(/rate: got 1/);
  });
});
