import { memoryStats, noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { createModel } from '../../models/registry.js';
import type { EpochMetrics, LossTerm, TrainHooks } from '../../training/index.js';
import { FakeGraphs } from '../../training/testing/fake-graphs.js';
import { outcomeOf } from '../../training/testing/toy.js';
import { pruneModel } from '../surgery.js';
import {
  computeStructuredRegularization,
  doomedUnits,
  measureUnitNorms,
  readUnitNorms,
  type RegApplication,
  regApplications,
  rsstHooks,
  rsstLambda,
  type RsstOptions,
} from './index.js';
import { toyTrainings } from './testing/toy-trainings.js';

/** 16 channels and 32 neurons in one block. */
const toys = toyTrainings(() => {
  const sizes = { dModel: 8, depth: 1, dState: 2, patchSize: 3, imageSize: 6 };
  return createModel('mamba_nano', { ...sizes, channels: 1, numClasses: 3 });
});
const toyMamba = toys.model;
const trainToy = toys.train;

const kept = new Map([
  ['blocks.0.ssm', [0, 3, 5, 8]],
  ['blocks.0.mlp', [1, 2, 30]],
]);

const base: RsstOptions = {
  schedule: 'exp_custom_exponents',
  strength: 0.01,
  exponent: 2,
  norm: 'group',
  targets: ['ssm', 'mlp'],
};

const hooksFor =
  (given: Partial<RsstOptions>) =>
  (model: ImageModel): TrainHooks =>
    rsstHooks(model, model.pruningGroups(), { ...base, ...given });

const doomed = doomedUnits(toyMamba().pruningGroups(), kept);

/** Largest difference between two models' parameters. */
function difference(a: ImageModel, b: ImageModel): number {
  const other = b.stateDict();
  return Math.max(
    ...[...a.stateDict()].map(([name, tensor]) =>
      scope(() =>
        noGrad(() =>
          tensor
            .sub(other.get(name) ?? tensor.mul(NaN))
            .abs()
            .max()
            .item(),
        ),
      ),
    ),
  );
}

describe('rsstHooks, in the loss', () => {
  it.each(['l1', 'group'] as const)('trains as with λ R in the graph: %s', async (norm) => {
    const own = await trainToy(hooksFor({ norm, units: doomed }), {
      options: { optimizer: 'sgd' },
    });
    const graph = (model: ImageModel): TrainHooks => {
      const groups = model.pruningGroups();
      const term: LossTerm = {
        name: 'rsst',
        compute: ({ progress }) => {
          const r = computeStructuredRegularization(model, groups, {
            ...base,
            norm,
            units: doomed,
          });
          // λ of the progress by hand: base (e / E)^2, fractions of epochs counted.
          return r.mul(0.01 * (progress / 2) ** 2);
        },
      };
      return { extraLosses: [term] };
    };
    const other = await trainToy(graph, { name: 'graph', options: { optimizer: 'sgd' } });
    // 14 steps of float32, a few roundings of values up to 1 each; without the term it is 1e-3.
    expect(difference(own.model, other.model)).toBeLessThan(2e-6);
    const without = await trainToy(() => ({}), { name: 'none', options: { optimizer: 'sgd' } });
    expect(difference(own.model, without.model)).toBeGreaterThan(1e-4);
    const terms = ({ lines }: typeof own) => lines.map((line) => line.terms?.['rsst'] ?? NaN);
    expect(terms(own)).toHaveLength(2);
    terms(own).forEach((value, i) => {
      // A sum of some thousand float32.
      expect(value / (terms(other)[i] ?? NaN)).toBeCloseTo(1, 4);
    });
  });

  it('logs λ, R and the norms at the end of every epoch', async () => {
    const { model, lines } = await trainToy(hooksFor({ units: doomed }));
    const values = lines.map((line) => line['rsst'] as { lambda: number; value: number });
    expect(values.map(({ lambda }) => lambda)).toEqual([0.0025, 0.01]);
    const groups = model.pruningGroups();
    const r = scope(() =>
      noGrad(() =>
        computeStructuredRegularization(model, groups, { ...base, units: doomed }).item(),
      ),
    );
    // The same sum in float32, in another order.
    expect((values[1]?.value ?? NaN) / r).toBeCloseTo(1, 5);
    const { kinds } = readUnitNorms(lines[1] as EpochMetrics) ?? {};
    expect(Object.keys(kinds ?? {})).toEqual(['ssm', 'mlp']);
    expect(kinds?.['ssm']?.doomed?.units).toBe(12);
    expect(kinds?.['mlp']?.kept.units).toBe(3);
    for (const { loss, terms } of lines) {
      expect((terms?.['task'] ?? NaN) + (terms?.['rsst'] ?? NaN)).toBeCloseTo(loss, 5);
    }
  });

  it('adds nothing while λ is 0', async () => {
    const seen: unknown[] = [];
    const hooks = (model: ImageModel): TrainHooks => {
      const { extraLosses = [], ...rest } = hooksFor({})(model);
      const [term] = extraLosses;
      const spy: LossTerm = {
        name: 'rsst',
        compute: (context) => {
          const value = term?.compute(context);
          seen.push(value?.item());
          return value;
        },
      };
      return { ...rest, extraLosses: [spy] };
    };
    await trainToy(hooks, { options: { epochs: 1 } });
    expect(seen[0]).toBe(0);
    expect(seen[1]).toBeGreaterThan(0);
  });

  it('is not clipped, so that it does not crowd out the task', async () => {
    // A pull of 1000 would leave a thousandth of the task's gradients if both were clipped together;
    // under SGD the classifier, which is no part of R, would hardly move then.
    const settings = { optimizer: 'sgd', clipGradNorm: 1, weightDecay: 0, epochs: 1 } as const;
    const head = (model: ImageModel) => model.stateDict().get('head.weight')?.toNumbers();
    const strong = hooksFor({ units: new Map([['blocks.0.mlp', [7]]]), strength: 1000 });
    const pulled = await trainToy(strong, { options: settings });
    const alone = await trainToy(() => ({}), { name: 'alone', options: settings });
    const start = head(toyMamba()) ?? [];
    const moved = (model: ImageModel) =>
      Math.hypot(...(head(model) ?? []).map((value, i) => value - (start[i] ?? NaN)));
    // One neuron of 32 jumps about; the classifier's way stays of the same length.
    expect(moved(pulled.model) / moved(alone.model)).toBeGreaterThan(0.5);
  });
});

describe('rsstHooks, proximal', () => {
  const strong: Partial<RsstOptions> = { apply: 'proximal', units: doomed, strength: 1000 };

  it('drives the doomed units to zero exactly, and the cut then costs nothing', async () => {
    const { model, lines } = await trainToy(hooksFor(strong));
    const { kinds } = readUnitNorms(lines.at(-1) as EpochMetrics) ?? {};
    for (const kind of ['ssm', 'mlp']) {
      expect(kinds?.[kind]?.doomedShare).toBe(0);
      expect(kinds?.[kind]?.doomed?.quantiles.at(-1)).toBe(0);
      expect(kinds?.[kind]?.kept.quantiles[0]).toBeGreaterThan(0.1);
    }
    expect(lines.at(-1)?.terms).toBeUndefined();
    const pruned = pruneModel(model, kept);
    toys.keep(pruned);
    model.eval();
    pruned.eval();
    const images = zeros([2, 1, 6, 6]).add(0.5);
    noGrad(() => {
      const worst = model.forward(images).sub(pruned.forward(images)).abs().max().item();
      // Sums of other lengths in float32, logits of about 1.
      expect(worst).toBeLessThan(1e-5);
    });
  });

  it('shrinks by lr λ at every step', async () => {
    // The task has no say: what is left is start - Σ lr λ, for every doomed unit.
    const silent = (model: ImageModel): TrainHooks => ({
      ...hooksFor({ ...strong, strength: 0.5, schedule: 'x' })(model),
      taskLoss: ({ logits }) => logits.sum().mul(0),
    });
    const before = await trainToy(hooksFor({ units: doomed, strength: 0 }), {
      name: 'start',
      options: { epochs: 1, optimizer: 'sgd', lr: 1e-30, weightDecay: 0 },
    });
    const { lines } = await trainToy(silent, {
      options: { schedule: 'constant', optimizer: 'sgd', weightDecay: 0 },
    });
    const mean = (line: EpochMetrics | undefined) =>
      (line && readUnitNorms(line)?.kinds['ssm']?.doomed?.mean) ?? NaN;
    let pull = 0;
    for (let step = 0; step < 14; step++) {
      pull += 0.01 * rsstLambda('x', { strength: 0.5 }, step / 14);
    }
    // Means are stored with four digits, about 4.
    expect(mean(before.lines[0]) - mean(lines.at(-1))).toBeCloseTo(pull, 2);
    expect(pull).toBeGreaterThan(0.03);
  });
});

describe('rsstHooks, shrink', () => {
  const shrink: Partial<RsstOptions> = { apply: 'shrink', units: doomed, strength: 1 };

  it.each([
    // Half of the steps are done after the first epoch.
    ['x', 1 / 2],
    ['x^2', 3 / 4],
    ['cosine', 1 / 2],
  ] as const)('takes the norms down along 1 - %s, to zero exactly', async (schedule, half) => {
    // The task has no say, and neither has the learning rate.
    const silent = (model: ImageModel): TrainHooks => ({
      ...hooksFor({ ...shrink, schedule })(model),
      taskLoss: ({ logits }) => logits.sum().mul(0),
    });
    const start = measureUnitNorms(toyMamba(), toyMamba().pruningGroups(), 'group');
    const { model, lines } = await trainToy(silent, {
      options: { optimizer: 'sgd', lr: 0.5, schedule: 'constant', weightDecay: 0 },
    });
    const kinds = (line: EpochMetrics | undefined) => line && readUnitNorms(line)?.kinds;
    const largest = (kind: string) => {
      const [name, units] = [...doomed].find(([group]) => group.endsWith(kind)) ?? ['', []];
      return Math.max(...units.map((unit) => start.get(name)?.[unit] ?? NaN));
    };
    for (const kind of ['ssm', 'mlp']) {
      const [first, last] = lines.map((line) => kinds(line)?.[kind]?.doomed?.quantiles.at(-1));
      // Norms are stored with four digits.
      expect((first ?? NaN) / (half * largest(kind))).toBeCloseTo(1, 3);
      expect(last).toBe(0);
    }
    expect(lines.map((line) => (line['rsst'] as { lambda: number }).lambda)).toEqual([
      expect.closeTo(1 - half) as number,
      1,
    ]);
    // The others are left alone, bit for bit.
    const stays = kept.get('blocks.0.mlp') ?? [];
    const end = measureUnitNorms(model, model.pruningGroups(), 'group');
    for (const unit of stays) {
      expect(end.get('blocks.0.mlp')?.[unit]).toBe(start.get('blocks.0.mlp')?.[unit]);
    }
  });

  it('ends at zero however hard the task pulls, over some epochs of a longer training', async () => {
    const part = { ...shrink, schedule: 'cosine', epochs: 1, epochsBefore: 1 } as const;
    const { lines } = await trainToy(hooksFor(part), { options: { epochs: 3 } });
    const share = lines.map((line) => readUnitNorms(line)?.kinds['ssm']?.doomedShare ?? NaN);
    expect(share[0]).toBeGreaterThan(0.5);
    expect(share.slice(1)).toEqual([0, 0]);
  });

  it('leaves the cut nothing to change', async () => {
    const { model } = await trainToy(hooksFor(shrink));
    const pruned = pruneModel(model, kept);
    toys.keep(pruned);
    model.eval();
    pruned.eval();
    const images = zeros([2, 1, 6, 6]).add(0.5);
    noGrad(() => {
      const worst = model.forward(images).sub(pruned.forward(images)).abs().max().item();
      // Sums of other lengths in float32, logits of about 1.
      expect(worst).toBeLessThan(1e-5);
    });
  });

  it('refuses a strength, and a schedule that begins where it ends', () => {
    const model = toyMamba();
    const make = (given: Partial<RsstOptions>) => () => hooksFor({ ...shrink, ...given })(model);
    expect(make({ strength: 5 })).toThrow(/strength: got 5 with apply shrink, expected 1/);
    expect(make({ schedule: 'constant' })).toThrow(/'constant' with apply shrink/);
    expect(make({ epochsBefore: 1 })).toThrow(/epochsBefore: got 1 without epochs/);
    expect(make({ epochs: 1, epochsBefore: -1 })).toThrow(/epochsBefore: got -1/);
  });
});

describe('isAtZero', () => {
  it('says whether all doomed units are zero, and nothing of the others', () => {
    const model = toyMamba();
    const { isAtZero } = rsstHooks(model, model.pruningGroups(), { ...base, units: doomed });
    expect(isAtZero()).toBe(false);
    const zero = (names: readonly string[]) => {
      noGrad(() => {
        for (const { name, members } of model.pruningGroups()) {
          if (!names.includes(name)) continue;
          for (const { parameter, dim, offset = 0 } of members) {
            const tensor = model.stateDict().get(parameter);
            for (const unit of doomed.get(name) ?? []) tensor?.select(dim, offset + unit).zero_();
          }
        }
      });
    };
    zero(['blocks.0.ssm']);
    expect(isAtZero()).toBe(false);
    zero(['blocks.0.mlp']);
    expect(isAtZero()).toBe(true);
    const neuron = model.stateDict().get('blocks.0.mlp.0.bias')?.select(0, 7);
    noGrad(() => neuron?.fill_(1e-3));
    expect(isAtZero()).toBe(false);
  });
});

describe('rsstHooks', () => {
  it.each(regApplications)('resumes bit for bit under %s', async (apply) => {
    const strength = apply === 'shrink' ? 1 : 0.5;
    const hooks = hooksFor({ apply, units: doomed, strength });
    const whole = await trainToy(hooks, { name: 'whole' });
    await trainToy(hooks, { stopAfter: 4 });
    await trainToy(hooks, { resume: true, stopAfter: 9, model: toyMamba(8) });
    const { run } = await trainToy(hooks, { resume: true, model: toyMamba(9) });
    expect(outcomeOf(run)).toEqual(outcomeOf(whole.run));
  });

  it.each(regApplications)('frees what a step makes under %s', async (apply) => {
    const counts: number[] = [];
    const strength = apply === 'shrink' ? 1 : base.strength;
    await trainToy((model) => ({
      ...hooksFor({ apply, units: doomed, strength })(model),
      onStep: () => counts.push(memoryStats().tensors),
    }));
    // The optimizer makes its state in the first step, and λ is 0 in it. The garbage collector may
    // free what was made before, so the count can fall.
    const [, second = NaN] = counts;
    expect(counts).toHaveLength(14);
    expect(Math.max(...counts.slice(2))).toBeLessThanOrEqual(second);
  });

  it('refuses options out of range before any training', () => {
    const model = toyMamba();
    const make = (given: Partial<RsstOptions>) => () => hooksFor(given)(model);
    expect(make({ apply: 'later' as RegApplication })).toThrow(/got 'later', expected one of loss/);
    expect(make({ strength: -1 })).toThrow(/strength: got -1/);
    expect(make({ schedule: 'x^9' as 'x' })).toThrow(/got 'x\^9'/);
    expect(make({ targets: ['heads'] })).toThrow(/got 'heads'/);
  });
});

describe('rsstHooks where steps are replayed', () => {
  it.each([
    ['l1', 'loss'],
    ['group', 'loss'],
    ['l1', 'proximal'],
    ['group', 'proximal'],
    ['l1', 'shrink'],
    ['group', 'shrink'],
  ] as const)('%s, %s: λ follows its schedule as in steps of their own', async (norm, apply) => {
    const strength = apply === 'proximal' ? 3 : 1;
    const hooks = hooksFor({ norm, apply, units: doomed, strength });
    const graphBackend = new FakeGraphs();
    const replayed = await trainToy(hooks, { name: 'replayed', control: { graphBackend } });
    const launched = await trainToy(hooks, {
      name: 'launched',
      control: { graphBackend, graph: false },
    });
    const host = await trainToy(hooks, { name: 'host' });
    // 14 steps, of which three come before the capture.
    expect([graphBackend.captures, graphBackend.replays]).toEqual([1, 11]);
    expect(replayed.lines.at(-1)?.graph).toBe('replayed');
    expect(difference(replayed.model, launched.model)).toBe(0);
    // Rates and λ are float32 on the device; Adam makes 1e-7 of a gradient near 0 more of a step.
    expect(difference(replayed.model, host.model)).toBeLessThan(1e-4);
    // It pulls: without λ the weights would be others.
    const free = await trainToy(() => ({}), { name: 'free' });
    expect(difference(host.model, free.model)).toBeGreaterThan(1e-3);
  });
});
