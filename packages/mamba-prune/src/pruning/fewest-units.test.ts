// Groups that keep more than one unit, whatever asks: of one channel of a VMamba its norm gives the bias alone.
import { type Tensor, noGrad, randn } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { PruningGroup } from '../models/groups.js';
import type { ImageModel } from '../models/image-model.js';
import { widthCosts } from '../models/width-costs.js';
import { unitsOverNearZero } from './rsst/cut.js';
import { selectUnits } from './selection.js';
import { chooseUnits } from './select-units.js';
import { ratesFromSensitivity } from './sensitivity/allocate.js';
import { measureSensitivity } from './sensitivity/measure.js';
import { pruneModel } from './surgery.js';
import { families } from './testing/families.js';

const group = (name: string, size: number, fewest?: number): PruningGroup => ({
  name,
  kind: 'ssm',
  size,
  members: [],
  ...(fewest !== undefined && { fewest }),
});

function vmamba(): ImageModel {
  const make = families['vmamba'];
  if (!make) throw new Error('there is no vmamba');
  return make();
}

const ssmWidths = (kept: ReadonlyMap<string, readonly number[]>): number[] =>
  [...kept].flatMap(([name, units]) => (name.endsWith('ssm') ? [units.length] : []));

describe('a group that keeps two units at least', () => {
  const groups = [group('a', 4, 2), group('b', 4), group('c', 1, 2)];
  const scores = new Map([
    ['a', [1, 2, 3, 4]],
    ['b', [5, 6, 7, 8]],
    ['c', [9]],
  ]);
  const rates = { rateOf: { a: 0.99 } };

  it.each([
    ['in a ranking of all', { ranking: 'global' }],
    ['in a ranking of its own', { ranking: 'layer' }],
    ['at a rate of its own', { ranking: 'global', ...rates }],
    ['under a lower least width', { ranking: 'layer', minWidth: 1 }],
  ] as const)('has its best two %s; a group that has fewer keeps those', (_, options) => {
    const kept = selectUnits(groups, scores, { rate: 0.99, normalize: 'none', ...options });
    expect(Object.fromEntries(kept)).toEqual({ a: [2, 3], b: [3], c: [0] });
  });

  it('is not held against a larger least width', () => {
    const kept = selectUnits(groups, scores, { rate: 0.99, ranking: 'layer', minWidth: 3 });
    expect(Array.from(kept.values(), ({ length }) => length)).toEqual([3, 3, 1]);
  });
});

describe('the scans of a VMamba', () => {
  it('keep two channels under rates and budgets', async () => {
    const model = vmamba();
    const sizes = model.pruningGroups().filter(({ kind }) => kind === 'ssm');
    expect(sizes.map(({ fewest }) => fewest)).toEqual(sizes.map(() => 2));
    const most = { importance: 'l1', rates: { ssm: 0.99 } } as const;
    for (const ranking of ['global', 'layer'] as const)
      expect(ssmWidths(await chooseUnits(model, { ...most, ranking }))).toEqual(sizes.map(() => 2));
    const cost = widthCosts(model).parameters;
    const limit = cost(Object.fromEntries(sizes.map(({ name }) => [name, 2])));
    const under = (less: number) =>
      chooseUnits(model, {
        importance: 'l1',
        ranking: 'global',
        rates: { ssm: 0 },
        costBudget: { targets: [{ name: 'parameters', cost, limit: limit - less }] },
      });
    expect(ssmWidths(await under(0))).toEqual(sizes.map(() => 2));
    await expect(under(1)).rejects.toThrow(/the least that these groups can be cut to is/);
  });

  it('keep the two of the largest norms where all but one are near zero', () => {
    const model = vmamba();
    const groups = model.pruningGroups().filter(({ kind }) => kind === 'ssm');
    const options = { norm: 'group', targets: ['ssm'], nearZero: 0.999999 } as const;
    const kept = unitsOverNearZero(model, groups, options);
    expect(ssmWidths(kept)).toEqual(groups.map(() => 2));
  });

  it('are measured and given rates with two channels', async () => {
    const model = vmamba();
    const widths: number[] = [];
    const sensitivity = await measureSensitivity(model, {
      importance: 'l1',
      kinds: ['ssm'],
      rates: [0.5, 0.99],
      evaluate: (cut) => {
        widths.push(...cut.pruningGroups().flatMap((own) => (own.kind === 'ssm' ? own.size : [])));
        return Promise.resolve({ loss: 1e6 / cut.numParameters(), accuracy: 0.5 });
      },
    });
    expect(Math.min(...widths)).toBe(2);
    const count = sensitivity.parts.length;
    const found = ratesFromSensitivity(sensitivity, { metric: 'units', most: 2 * count });
    expect(Object.values(found.widths)).toEqual(Array.from({ length: count }, () => 2));
    expect(() =>
      ratesFromSensitivity(sensitivity, { metric: 'units', most: 2 * count - 1 }),
    ).toThrow(/expected at least/);
  });

  it('pass on what they are given with two channels, and a bias alone with one, which stays as it is', async () => {
    const dense = vmamba();
    const names = dense.pruningGroups().flatMap(({ name, kind }) => (kind === 'ssm' ? name : []));
    const { imageSize, channels } = dense.config;
    const images = randn([2, channels, imageSize, imageSize]);
    /** By how much the logits change when the scans are given something else. */
    const change = (units: readonly number[]): number => {
      const model = pruneModel(dense, new Map(names.map((name) => [name, units]))).eval();
      const run = (): Tensor => noGrad(() => model.forward(images));
      const before = run();
      noGrad(() => {
        for (const [name, parameter] of model.stateDict())
          if (name.endsWith('op.conv2d.weight')) parameter.mul_(-4);
      });
      return run().sub(before).abs().max().item();
    };
    // The norm multiplies by 1 / sqrt(1e-5) what rounding leaves of x - x, some 1e-7.
    expect(change([0])).toBeLessThan(1e-4);
    expect(change([0, 1])).toBeGreaterThan(1e-3);
    const one = pruneModel(dense, new Map(names.map((name) => [name, [0]])));
    const half = { importance: 'l1', ranking: 'layer', rates: { ssm: 0.5 } } as const;
    expect(ssmWidths(await chooseUnits(one, half))).toEqual(names.map(() => 1));
  });
});
