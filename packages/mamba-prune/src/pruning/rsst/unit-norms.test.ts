import { noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { PruningGroup } from '../../models/groups.js';
import { TwoLayer, setWeight, smallMamba, weightOf } from '../testing/models.js';
import {
  normBins,
  normQuantiles,
  readUnitNorms,
  summarizeUnitNorms,
  unitsByNorm,
  unitsOverNearZero,
} from './index.js';

/** Norms under l1: the absolute values given, all in fc1. */
function withNorms(norms: readonly number[]): TwoLayer {
  const model = new TwoLayer({ units: norms.length });
  setWeight(
    model,
    'fc1.weight',
    norms.flatMap((norm) => [norm, 0]),
  );
  noGrad(() => weightOf(model, 'fc2.weight').zero_());
  return model;
}

const target = { norm: 'l1', targets: ['neurons'] } as const;

describe('summarizeUnitNorms', () => {
  it('gives mean, quantiles and a histogram by hand', () => {
    const model = withNorms([4, 0, 24, 12, 23.9]);
    const { norm, kinds } = summarizeUnitNorms(model, model.pruningGroups(), target);
    expect(norm).toBe('l1');
    const { neurons } = kinds;
    expect(neurons?.max).toBe(24);
    expect(neurons?.doomed).toBeUndefined();
    // Sorted 0, 4, 12, 23.9, 24: the quantile q is at place 4 q, linear in between.
    expect(neurons?.kept).toMatchObject({ units: 5, mean: 12.78 });
    expect(neurons?.kept.quantiles).toEqual([0, 0.8, 4, 12, 23.9, 23.98, 24]);
    // 24 bins of width 1; the largest belongs to the last.
    const filled = neurons?.kept.histogram.flatMap((count, bin) =>
      count > 0 ? [[bin, count]] : [],
    );
    expect(filled).toEqual([
      [0, 1],
      [4, 1],
      [12, 1],
      [23, 2],
    ]);
    expect(neurons?.kept.histogram).toHaveLength(normBins);
    expect(neurons?.kept.quantiles).toHaveLength(normQuantiles.length);
  });

  it('tells the doomed units from those that stay, with their share', () => {
    const model = withNorms([1, 10, 0, 9]);
    const units = new Map([['hidden', [0, 2]]]);
    const options = { ...target, units };
    const { neurons } = summarizeUnitNorms(model, model.pruningGroups(), options).kinds;
    expect(neurons).toMatchObject({ max: 10, doomedShare: 0.05 });
    expect(neurons?.kept).toMatchObject({ units: 2, mean: 9.5 });
    expect(neurons?.doomed).toMatchObject({ units: 2, mean: 0.5 });
    expect(neurons?.doomed?.histogram.slice(0, 3)).toEqual([1, 0, 1]);
  });

  it('counts groups without doomed units among those that stay', () => {
    const model = smallMamba();
    const units = new Map([['blocks.0.ssm', [3]]]);
    const options = { norm: 'group', targets: ['ssm', 'mlp'], units } as const;
    const { ssm, mlp } = summarizeUnitNorms(model, model.pruningGroups(), options).kinds;
    expect([ssm?.kept.units, ssm?.doomed?.units]).toEqual([63, 1]);
    expect([mlp?.kept.units, mlp?.doomed?.units]).toEqual([128, 0]);
    expect(mlp?.doomedShare).toBe(0);
  });

  it('survives JSON and is read back; other lines have none', () => {
    const model = withNorms([1, 2]);
    const unitNorms = summarizeUnitNorms(model, model.pruningGroups(), target);
    const line = JSON.parse(JSON.stringify({ type: 'epoch', unitNorms })) as { type: 'epoch' };
    expect(readUnitNorms(line)).toEqual(unitNorms);
    expect(readUnitNorms({ type: 'epoch' })).toBeUndefined();
  });

  it('is small: under a kilobyte per kind, doomed units included', () => {
    const model = smallMamba();
    const units = new Map([['blocks.0.ssm', [3]]]);
    const options = { norm: 'group', targets: ['ssm', 'mlp'], units } as const;
    const text = JSON.stringify(summarizeUnitNorms(model, model.pruningGroups(), options));
    expect(text.length).toBeLessThan(2 * 1024);
  });
});

describe('unitsOverNearZero', () => {
  const kept = (norms: number[], nearZero: number) => {
    const model = withNorms(norms);
    return unitsOverNearZero(model, model.pruningGroups(), { ...target, nearZero }).get('hidden');
  };

  it('keeps what is over the share of the largest norm', () => {
    expect(kept([10, 1, 1.01, 0, 5], 0.1)).toEqual([0, 2, 4]);
  });

  it('deletes only zeros with a share of 0', () => {
    expect(kept([1e-20, 0, 3], 0)).toEqual([0, 2]);
  });

  it('never empties a group', () => {
    expect(kept([2, 2], 0.999)).toEqual([0, 1]);
    expect(kept([0, 0, 0], 0.1)).toEqual([0]);
  });

  it('refuses a share out of range, and norms that are no numbers', () => {
    expect(() => kept([1], 1)).toThrow(/`nearZero`: got 1, expected/);
    expect(() => kept([1], -0.1)).toThrow(UsageError);
    expect(() => kept([1, NaN], 0.1)).toThrow(/norm of unit 1 is NaN.*diverged/);
  });

  it('cuts only the kinds that are named', () => {
    const model = smallMamba();
    const options = { norm: 'group', targets: ['mlp'], nearZero: 0 } as const;
    const names = [...unitsOverNearZero(model, model.pruningGroups(), options).keys()];
    expect(names).toEqual(['blocks.0.mlp', 'blocks.1.mlp']);
  });
});

describe('unitsByNorm', () => {
  it('keeps the largest, exactly as many as the rate asks for', () => {
    const model = withNorms([5, 0.1, 7, 0.2, 6]);
    const options = { norm: 'l1', rates: { neurons: 0.6 }, ranking: 'layer' } as const;
    expect(unitsByNorm(model, model.pruningGroups(), options).get('hidden')).toEqual([2, 4]);
  });

  it('ranks all groups of a kind together under global', () => {
    const model = smallMamba();
    const groups = model.pruningGroups();
    // Block 1's channels are driven down; without normalisation they all go first.
    shrinkGroup(model, groups, 'blocks.1.ssm', 0.01);
    const rates = { ssm: 0.25, mlp: 0.5 };
    const options = { norm: 'group', rates, ranking: 'global', normalize: 'none' } as const;
    const kept = unitsByNorm(model, groups, options);
    const count = (name: string) => kept.get(name)?.length ?? NaN;
    expect([count('blocks.0.ssm'), count('blocks.1.ssm')]).toEqual([32, 16]);
    expect(count('blocks.0.mlp') + count('blocks.1.mlp')).toBe(64);
    expect(kept.has('blocks.0.state')).toBe(false);
  });

  it('refuses an unknown kind and a rate out of range', () => {
    const model = withNorms([1, 2]);
    const choose = (rates: Record<string, number>) =>
      unitsByNorm(model, model.pruningGroups(), { norm: 'l1', rates, ranking: 'global' });
    expect(() => choose({ ssm: 0.5 })).toThrow(/got 'ssm', expected some of neurons/);
    expect(() => choose({ neurons: 1 })).toThrow(/rate: got 1/);
  });
});

function shrinkGroup(
  model: ReturnType<typeof smallMamba>,
  groups: readonly PruningGroup[],
  name: string,
  factor: number,
): void {
  for (const { parameter, dim, offset = 0 } of groups.find((g) => g.name === name)?.members ?? []) {
    noGrad(() => weightOf(model, parameter).narrow(dim, offset, 32).mul_(factor));
  }
}
