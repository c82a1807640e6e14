import { noGrad, ops, scope } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../../models/image-model.js';
import { createModel } from '../../models/registry.js';
import { TwoLayer, setWeight, smallMamba, weightOf } from '../testing/models.js';
import {
  type RegNorm,
  type RegularizerOptions,
  Rsst,
  type UnitSet,
  computeStructuredRegularization,
  doomedUnits,
  measureUnitNorms,
  regNorms,
} from './index.js';

const both = ['ssm', 'mlp'];

function valueOf(model: ImageModel, options: RegularizerOptions): number {
  return scope(() =>
    noGrad(() => computeStructuredRegularization(model, model.pruningGroups(), options).item()),
  );
}

/** Two neurons with weights that are easy to add up. */
function handMade(): TwoLayer {
  const model = new TwoLayer({ units: 2 });
  setWeight(model, 'fc1.weight', [3, -4, 0, 1]);
  setWeight(model, 'fc1.bias', [12, 0]);
  setWeight(model, 'fc2.weight', [0, 2, 84, -2]);
  return model;
}

describe('computeStructuredRegularization', () => {
  it('adds up norms of the units by hand', () => {
    const model = handMade();
    const targets = ['neurons'];
    // Scored are rows of fc1 and columns of fc2: |3| + |-4| + |0| + |84| and |0| + |1| + |2| + |-2|.
    expect(valueOf(model, { norm: 'l1', targets })).toBe(96);
    // sqrt(3² + 4² + 12² + 84²) = 85 and sqrt(1 + 4 + 4) = 3.
    expect(valueOf(model, { norm: 'group', targets })).toBe(88);
    const units = new Map([['hidden', [1]]]);
    expect(valueOf(model, { norm: 'l1', targets, units })).toBe(5);
    expect(valueOf(model, { norm: 'group', targets, units })).toBe(3);
  });

  it('takes columns of out_proj (input channels) and rows of fc1', () => {
    const model = smallMamba();
    const before = valueOf(model, { norm: 'l1', targets: ['ssm'] });
    // One whole input channel: 16 weights of one column.
    noGrad(() => weightOf(model, 'blocks.1.ssm.out_proj.weight').select(1, 5).add_(100));
    const rise = valueOf(model, { norm: 'l1', targets: ['ssm'] }) - before;
    const units = new Map([['blocks.1.ssm', [5]]]);
    const channel = valueOf(model, { norm: 'l1', targets: ['ssm'], units });
    // float32 sums of some 1000 weights; the change is about 1600.
    expect(rise).toBeCloseTo(1600, -1);
    expect(channel).toBeGreaterThan(1590);
    const mlp = () => valueOf(model, { norm: 'l1', targets: ['mlp'] });
    const old = mlp();
    noGrad(() => weightOf(model, 'blocks.0.mlp.2.weight').add_(100));
    expect(mlp()).toBe(old);
    noGrad(() => weightOf(model, 'blocks.0.mlp.0.weight').select(0, 3).add_(100));
    expect(mlp()).toBeGreaterThan(old + 1500);
  });

  it('counts every index of a unit that has several: attention heads', () => {
    const model = createModel('vit_tiny', { dModel: 16, depth: 1, heads: 2, imageSize: 8 });
    const groups = model.pruningGroups().filter(({ kind }) => kind === 'heads');
    const [group] = groups;
    const norms = measureUnitNorms(model, groups, 'group').get(group?.name ?? '') ?? [];
    let squares = 0;
    const state = model.stateDict();
    for (const member of group?.members ?? []) {
      const { parameter, dim, offset = 0, unitSize = 1 } = member;
      const head = state.get(parameter)?.narrow(dim, offset + unitSize, unitSize);
      squares += head?.to('float64').square().sum().item() ?? NaN;
    }
    // float32 against float64 over a few hundred weights.
    expect(norms[1]).toBeCloseTo(Math.sqrt(squares), 5);
  });

  it.each([
    ['an unknown kind', { targets: ['heads'] }, /got 'heads', expected some of ssm/],
    ['no kind', { targets: [] }, /got none, expected some of ssm/],
    ['another norm', { norm: 'l2' as RegNorm }, /got 'l2', expected one of l1, group/],
    ['units of another group', { units: { 'blocks.7.ssm': [0] } }, /'blocks\.7\.ssm', expected/],
    ['a unit past the last', { units: { 'blocks.0.ssm': [3, 32] } }, /got unit 32.*0 to 31/],
    ['units out of order', { units: { 'blocks.0.ssm': [3, 3] } }, /got unit 3/],
    ['no units at all', { units: { 'blocks.0.ssm': [] } }, /got no unit to regularise/],
  ])('refuses %s', (_what, { units, ...given }: object & { units?: object }, message) => {
    const model = smallMamba();
    const set = units && (new Map(Object.entries(units)) as UnitSet);
    const options = { norm: 'l1' as const, targets: both, units: set, ...given };
    expect(() => valueOf(model, options)).toThrow(UsageError);
    expect(() => valueOf(model, options)).toThrow(message);
  });
});

describe("the gradient of λ R, by autograd and RSST's own", () => {
  const units: UnitSet = new Map([
    ['blocks.0.ssm', [0, 7, 31]],
    ['blocks.1.mlp', [2, 63]],
  ]);
  // Parameters in which R has a gradient. Each block: out_proj and fc1 under l1; under group in_proj,
  // out_proj, seven parameters for each direction of the scan, and three of the MLP.
  const cases = [
    { norm: 'l1', scope: 'all', units: undefined, parameters: 2 * 2 },
    { norm: 'l1', scope: 'doomed', units, parameters: 2 },
    { norm: 'group', scope: 'all', units: undefined, parameters: 2 * (16 + 3) },
    { norm: 'group', scope: 'doomed', units, parameters: 16 + 3 },
  ] as const;

  it.each(cases)('is that of finite differences: $norm, $scope', ({ units: set, ...wanted }) => {
    const { norm } = wanted;
    const model = smallMamba({ scan: 'bi' }).to('float64');
    const groups = model.pruningGroups();
    const options = { norm, targets: both, units: set };
    const lambda = 0.37;
    computeStructuredRegularization(model, groups, options).mul(lambda).backward();
    const byAutograd = gradients(model);
    model.zeroGrad();
    const rsst = new Rsst(model, groups, { ...options, schedule: 'x', strength: 1 });
    scope(() => {
      rsst.addGradient(lambda, rsst.norms());
    });
    const own = gradients(model);
    let checked = 0;
    for (const [name, parameter] of model.namedParameters()) {
      // The same formula in another order, float64.
      const a = byAutograd.get(name) ?? new Float64Array(parameter.numel);
      const b = own.get(name) ?? new Float64Array(parameter.numel);
      expect(Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? NaN))))).toBeLessThan(1e-12);
      const most = Math.max(...a.map(Math.abs));
      const index = a.findIndex((value) => Math.abs(value) === most);
      const h = 1e-5;
      const at = (change: number) =>
        noGrad(() => {
          const flat = parameter.view(-1);
          const before = flat.select(0, index).item();
          flat.select(0, index).fill_(before + change);
          const value = lambda * valueOf(model, options);
          flat.select(0, index).fill_(before);
          return value;
        });
      const difference = (at(h) - at(-h)) / (2 * h);
      // R is about 300, so a difference carries 300 * 1e-16 / 1e-5 = 3e-9 of rounding; the norm's
      // curvature (1 / norm, some 0.1 to 2) times h² is far less.
      expect(Math.abs(difference - (a[index] ?? NaN))).toBeLessThan(2e-8);
      if (difference !== 0) checked++;
    }
    expect(checked).toBe(wanted.parameters);
  });

  it.each(regNorms)('is zero, not NaN, at units that are zero: %s', (norm) => {
    const model = handMade();
    noGrad(() => {
      for (const name of ['fc1.weight', 'fc1.bias']) weightOf(model, name).select(0, 1).zero_();
      weightOf(model, 'fc2.weight').select(1, 1).zero_();
    });
    const options = { norm, targets: ['neurons'] };
    computeStructuredRegularization(model, model.pruningGroups(), options).backward();
    const byAutograd = gradients(model);
    model.zeroGrad();
    const rsst = new Rsst(model, model.pruningGroups(), { ...options, schedule: 'x', strength: 1 });
    scope(() => {
      rsst.addGradient(1, rsst.norms());
    });
    for (const found of [byAutograd, gradients(model)]) {
      const [a, b, ...zero] = found.get('fc1.weight') ?? [];
      expect(zero).toEqual([0, 0]);
      // 3/85 and -4/85 in float32.
      expect([a, b].map((value) => value?.toFixed(6))).toEqual(
        norm === 'l1' ? ['1.000000', '-1.000000'] : ['0.035294', '-0.047059'],
      );
    }
  });

  it('adds to the gradient of the task, and makes one where there is none', () => {
    const model = handMade();
    const options = { norm: 'l1', targets: ['neurons'], schedule: 'x', strength: 1 } as const;
    const rsst = new Rsst(model, model.pruningGroups(), options);
    const weight = weightOf(model, 'fc1.weight');
    noGrad(() => {
      weight.grad = ops.fullLike(weight, 10).keep();
    });
    scope(() => {
      rsst.addGradient(0.5, rsst.norms());
    });
    expect(weight.grad?.toNumbers()).toEqual([10.5, 9.5, 10, 10.5]);
    expect(weightOf(model, 'fc2.weight').grad?.toNumbers()).toEqual([0, 0.5, 0.5, -0.5]);
  });
});

describe('Rsst.shrink', () => {
  it('takes lr λ off the norm of every unit, and stops at zero', () => {
    const model = handMade();
    const options = { norm: 'group', targets: ['neurons'], schedule: 'x', strength: 1 } as const;
    const rsst = new Rsst(model, model.pruningGroups(), options);
    rsst.pull(5);
    // 85 becomes 80; 3 becomes 0.
    const norms = measureUnitNorms(model, model.pruningGroups(), 'group').get('hidden');
    expect(norms?.[0]).toBeCloseTo(80, 4);
    expect(norms?.[1]).toBe(0);
    expect(weightOf(model, 'fc1.weight').toNumbers().slice(2)).toEqual([0, 0]);
    // The direction stays: 84 * 80 / 85.
    expect(weightOf(model, 'fc2.weight').toNumbers()[2]).toBeCloseTo(79.0588, 3);
  });

  it('takes lr λ off every weight of the slice under l1', () => {
    const model = handMade();
    const units = new Map([['hidden', [0]]]);
    const options = {
      norm: 'l1',
      targets: ['neurons'],
      units,
      schedule: 'x',
      strength: 1,
    } as const;
    new Rsst(model, model.pruningGroups(), options).pull(3.5);
    expect(weightOf(model, 'fc1.weight').toNumbers()).toEqual([0, -0.5, 0, 1]);
    expect(weightOf(model, 'fc1.bias').toNumbers()).toEqual([12, 0]);
    expect(weightOf(model, 'fc2.weight').toNumbers()).toEqual([0, 2, 80.5, -2]);
  });

  it('leaves units that are zero at zero, and all units alone that are not doomed', () => {
    const model = smallMamba();
    const units: UnitSet = new Map([['blocks.0.mlp', [1, 4]]]);
    const groups = model.pruningGroups();
    const rsst = new Rsst(model, groups, {
      norm: 'group',
      targets: both,
      units,
      schedule: 'x',
      strength: 1,
    });
    const before = measureUnitNorms(model, groups, 'group');
    // Norms are about 1: the first call ends them, the second meets zeros.
    rsst.pull(100);
    rsst.pull(100);
    const after = measureUnitNorms(model, groups, 'group');
    for (const [name, norms] of after) {
      const doomed = units.get(name) ?? [];
      const expected = before.get(name)?.map((value, unit) => (doomed.includes(unit) ? 0 : value));
      expect(norms).toEqual(expected);
    }
  });
});

describe('doomedUnits', () => {
  it('is what a choice removes, of the groups that it names', () => {
    const groups = handMade().pruningGroups();
    expect(doomedUnits(groups, new Map([['hidden', [1]]]))).toEqual(new Map([['hidden', [0]]]));
    expect(doomedUnits(groups, new Map())).toEqual(new Map());
  });
});

/** Gradients by parameter name, those that are there. */
function gradients(model: ImageModel): Map<string, Float64Array> {
  const found = new Map<string, Float64Array>();
  for (const [name, { grad }] of model.namedParameters()) {
    if (grad) found.set(name, Float64Array.from(grad.toNumbers()));
  }
  return found;
}
