// RSST and the norms over the units that it shrinks: VMamba's.
import { manualSeed, noGrad, randn, setNumThreads } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { createModel } from '../../models/registry.js';
import { relativeDifference } from '../../models/testing/parity.js';
import { FakeGraphs } from '../../training/testing/fake-graphs.js';
import { outcomeOf } from '../../training/testing/toy.js';
import { pruneModel } from '../surgery.js';
import { doomedUnits, measureUnitNorms, rsstHooks, type RsstOptions } from './index.js';
import { type ToyTraining, toyTrainings } from './testing/toy-trainings.js';

setNumThreads(1);

/** 8 channels in the first of two blocks, 16 in the second. */
const toys = toyTrainings(() => {
  const sizes = { baseWidth: 8, blocks: [1, 1], stemStride: 1, imageSize: 6 };
  return createModel('vmamba_nano', { ...sizes, channels: 1, numClasses: 3 });
});
const toyVMamba = toys.model;

const first = 'layers.0.blocks.0.ssm';
const second = 'layers.1.blocks.0.ssm';
const kept = new Map([
  [first, [0, 3, 5]],
  [second, [1, 2, 8, 15]],
  ['layers.1.blocks.0.mlp', [1, 2, 30]],
]);
const units = doomedUnits(toyVMamba().pruningGroups(), kept);

const base: RsstOptions = {
  schedule: 'cosine',
  strength: 1,
  norm: 'group',
  apply: 'shrink',
  targets: ['ssm', 'mlp'],
  units,
};

const trainToy = (given: Partial<RsstOptions>, how?: ToyTraining) =>
  toys.train((model) => rsstHooks(model, model.pruningGroups(), { ...base, ...given }), how);

/** How much the units of a group count in the norm over them. */
const sharesOf = (model: ImageModel, group: string): number[] =>
  model.normOver?.(group)?.weigh().toNumbers() ?? [];

/** How much the logits change at the cut. */
function changeAtTheCut(model: ImageModel): number {
  const cut = toys.keep(pruneModel(model, kept)).eval();
  model.eval();
  manualSeed(6);
  const images = randn([4, 1, 6, 6]);
  return noGrad(() => relativeDifference(model.forward(images), cut.forward(images)));
}

describe('RSST of a model with a norm over its units', () => {
  it.each([
    ['shrink', 'group'],
    ['shrink', 'l1'],
    ['proximal', 'group'],
    ['proximal', 'l1'],
  ] as const)('ends with the norm of the cut model under %s and %s', async (apply, norm) => {
    const strength = apply === 'shrink' ? 1 : 1000;
    const { model } = await trainToy({ apply, norm, strength });
    for (const group of [first, second]) {
      const stay = kept.get(group);
      // Exactly: at zero a unit counts as little as one that is not there, and the others in full.
      expect(sharesOf(model, group)).toEqual(
        sharesOf(model, group).map((_, unit) => Number(stay?.includes(unit))),
      );
    }
    // Under l1 a channel is zero for out_proj alone, and x_proj still reads it until the cut.
    if (norm === 'l1') return;
    // Roundings of float32 in sums of other lengths. Were the norm plain until the cut, it would be more than 0.01.
    expect(changeAtTheCut(model)).toBeLessThan(1e-5);
    for (const group of [first, second]) model.normOver?.(group)?.unweigh();
    expect(changeAtTheCut(model)).toBeGreaterThan(0.01);
  });

  it.each([
    ['shrink', 'group', 1],
    ['shrink', 'l1', 1],
    ['proximal', 'group', 50],
    // Adam takes steps of lr against the penalty: some units are larger at first.
    ['loss', 'group', 10],
    ['loss', 'l1', 10],
  ] as const)('lets a unit count by what is left of it: %s, %s', async (apply, norm, strength) => {
    const start = toyVMamba();
    const before = measureUnitNorms(start, start.pruningGroups(), norm).get(second) ?? [];
    const { model } = await trainToy({ apply, norm, strength }, { stopAfter: 7 });
    const after = measureUnitNorms(model, model.pruningGroups(), norm).get(second) ?? [];
    const shares = sharesOf(model, second);
    shares.forEach((share, unit) => {
      const isKept = kept.get(second)?.includes(unit);
      const left = Math.min(1, (after[unit] ?? NaN) / (before[unit] ?? NaN));
      // A quotient of two float32.
      expect(share).toBeCloseTo(isKept ? 1 : left, 5);
    });
    expect(Math.min(...shares)).toBeLessThan(0.99);
    expect(Math.min(...shares)).toBeGreaterThan(0.01);
  });

  it.each(['loss', 'proximal', 'shrink'] as const)(
    'resumes bit for bit under %s',
    async (apply) => {
      const given = { apply, strength: apply === 'shrink' ? 1 : 0.5 };
      const whole = await trainToy(given, { name: 'whole' });
      await trainToy(given, { stopAfter: 4 });
      // What the units were when they were chosen is not to be told from these weights.
      await trainToy(given, { resume: true, stopAfter: 9, model: toyVMamba(8) });
      const { run, model } = await trainToy(given, { resume: true, model: toyVMamba(9) });
      expect(outcomeOf(run)).toEqual(outcomeOf(whole.run));
      expect(sharesOf(model, first)).toEqual(sharesOf(whole.model, first));
    },
  );

  it('has the shares again of a training that is opened once more at its end', async () => {
    const whole = await trainToy({});
    const { model } = await trainToy({}, { resume: true, model: toyVMamba(8) });
    expect(sharesOf(model, second)).toEqual(sharesOf(whole.model, second));
    expect(changeAtTheCut(model)).toBeLessThan(1e-5);
  });

  it('changes the shares in steps that are replayed', async () => {
    const graphBackend = new FakeGraphs();
    const replayed = await trainToy({}, { name: 'replayed', control: { graphBackend } });
    const launched = await trainToy(
      {},
      { name: 'launched', control: { graphBackend, graph: false } },
    );
    expect([graphBackend.captures, graphBackend.replays]).toEqual([1, 11]);
    expect(sharesOf(replayed.model, first)).toEqual(sharesOf(launched.model, first));
    expect(changeAtTheCut(replayed.model)).toBeLessThan(1e-5);
  });

  it('goes on from where it was with units that are doomed again, and lets others count in full', async () => {
    const part = { schedule: 'x', epochs: 2 } as const;
    const start = toyVMamba();
    const at = (model: ImageModel): ArrayLike<number> =>
      measureUnitNorms(model, model.pruningGroups(), 'group').get(first) ?? [];
    const atStart = at(start);
    const { model } = await trainToy(part, { control: { untilEpoch: 1 } });
    const atChoice = at(model);
    // Unit 0 is doomed now, 1 no more; of the second block none is.
    const others = new Map([[first, [0, 2, 4, 6, 7]]]);
    const again = rsstHooks(model, model.pruningGroups(), { ...base, ...part, units: others });
    const shares = (): number[] => sharesOf(model, first);
    const seen: number[][] = [];
    const onStep = (): void => {
      seen.push(shares());
    };
    await toys.train(() => ({ ...again, onStep }), { model, resume: true });
    const [firstStep = []] = seen;
    const share = (unit: number, chosen: ArrayLike<number>): number =>
      (atChoice[unit] ?? NaN) / (chosen[unit] ?? NaN);
    // One step of seven takes a seventh of what is left; the optimizer has moved the rest a little.
    expect(firstStep[2]).toBeCloseTo((share(2, atStart) * 6) / 7, 1);
    expect(firstStep[2]).toBeLessThan(0.5);
    expect(firstStep[0]).toBeCloseTo(6 / 7, 1);
    expect([firstStep[1], firstStep[3], firstStep[5]]).toEqual([1, 1, 1]);
    expect(sharesOf(model, second)).toEqual(Array(16).fill(1));
    expect(shares()).toEqual([0, 1, 0, 1, 0, 1, 0, 0]);
  });

  it('leaves the norm plain where nobody knows yet which units go, and where no norm is over units', () => {
    const model = toyVMamba();
    const all = rsstHooks(model, model.pruningGroups(), {
      ...base,
      apply: 'loss',
      units: undefined,
    });
    expect(all.state).toBeUndefined();
    const neurons = new Map([['layers.0.blocks.0.mlp', [1]]]);
    const mlp = { ...base, targets: ['mlp'], units: neurons };
    expect(rsstHooks(model, model.pruningGroups(), mlp).state).toBeUndefined();
    expect(model.normOver?.(first)?.isWeighing).toBe(false);
  });
});
