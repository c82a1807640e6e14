// What every family must do for pruning and training, whatever it is made of.
import {
  F,
  type Tensor,
  manualSeed,
  noGrad,
  ones,
  optim,
  randn,
  scope,
  setNumThreads,
  tensor,
  zeros,
} from '@mamba-prune/libtorch';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type KeptUnits, type PruningGroup, memberUnitSize } from './groups.js';
import { maskModel, pruneModel } from '../pruning/surgery.js';
import type { ModelOptions } from './model-options.js';
import type { ImageModel, UnitProbe } from './image-model.js';
import { loadModel, saveModel } from './model-file.js';
import { modelNames } from './families.js';
import { createModel } from './registry.js';
import { relativeDifference } from './testing/parity.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const families: Record<string, { arch: string; options: ModelOptions }> = {
  vit: { arch: 'vit_tiny', options: { dModel: 24, depth: 2, heads: 3, imageSize: 12 } },
  'resnet with basic blocks': {
    arch: 'resnet20',
    options: { blocks: [2, 1], baseWidth: 8, imageSize: 12 },
  },
  'resnet with bottlenecks': {
    arch: 'resnet50',
    options: { blocks: [2, 1], baseWidth: 4, imageSize: 20, stem: 'imagenet' },
  },
};

// Removing units changes the order of the sums in the products, nothing else: a few float32 roundings
// (6e-8 each) over two or three blocks.
const rounding = 1e-5;

const run = (model: ImageModel, images: Tensor, probe?: UnitProbe): Tensor =>
  noGrad(() => model.forward(images, probe));

const unitsOf = (group: PruningGroup, keep: (unit: number) => boolean): number[] =>
  Array.from({ length: group.size }, (_, unit) => unit).filter(keep);

describe.each(Object.entries(families))('%s', (_, { arch, options }) => {
  const side = options.imageSize ?? 32;
  const images = (count: number): Tensor => randn([count, 3, side, side]);

  function fresh(extra: ModelOptions = {}): ImageModel {
    manualSeed(0);
    return createModel(arch, { numClasses: 4, ...options, ...extra });
  }

  /** With weights and statistics like a trained model's: initial zeros and ones hide mistakes. */
  function trained(): ImageModel {
    const model = fresh();
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
      for (let i = 0; i < 3; i++) model.forward(images(8)); // BatchNorm's statistics
    });
    return model.eval();
  }

  const groups = fresh().pruningGroups();

  it.each(groups.map((group) => [group.name, group] as const))(
    'pruned equals masked, and equals the gate at 0, for %s',
    (name, group) => {
      const model = trained();
      const x = images(2);
      const dense = run(model, x);
      const kept = new Map([[name, unitsOf(group, (unit) => unit % 3 !== 1)]]);
      const mask = gateOf(group, kept.get(name) ?? []);
      const gated = run(model, x, { gate: (of, y, dim) => (of === name ? mask(y, dim) : y) });
      const pruned = pruneModel(model, kept);
      maskModel(model, kept);
      const masked = run(model, x);
      expect(relativeDifference(run(pruned, x), masked)).toBeLessThan(rounding);
      expect(relativeDifference(gated, masked)).toBeLessThan(rounding);
      expect(relativeDifference(masked, dense)).toBeGreaterThan(1e-3); // the units did matter
      expect(pruned.config.widths[name]).toBe(kept.get(name)?.length);
      expect(pruned.numParameters()).toBeLessThan(model.numParameters());
    },
  );

  it('pruned equals masked for all groups at once, again on a pruned model, in training mode too', () => {
    const x = images(3);
    let model = trained();
    for (const drop of [2, 0]) {
      const kept: KeptUnits = new Map(
        model
          .pruningGroups()
          .map((group) => [group.name, unitsOf(group, (unit) => unit % 4 !== drop || unit === 0)]),
      );
      const pruned = pruneModel(model, kept);
      expect(pruned.numParameters()).toBeLessThan(model.numParameters());
      const before = run(model, x);
      maskModel(model, kept);
      const masked = run(model, x);
      expect(relativeDifference(masked, before)).toBeGreaterThan(1e-3);
      expect(relativeDifference(run(pruned, x), masked)).toBeLessThan(rounding);
      const [a, b] = [pruned.train(), model.train()].map((m) => run(m, x)) as [Tensor, Tensor];
      // BatchNorm divides by the deviation of a small batch, which enlarges roundings.
      expect(relativeDifference(a, b)).toBeLessThan(10 * rounding);
      model = pruned.eval();
    }
  });

  it('shows every group to the probe, with its units on the axis named', () => {
    const model = trained();
    const seen: string[] = [];
    const check = (name: string, x: Tensor, dim: number): void => {
      const group = groups.find((g) => g.name === name) as PruningGroup;
      const unitSize = memberUnitSize(group.members[0] as (typeof group.members)[number]);
      expect(x.size(dim)).toBe(group.size * unitSize);
    };
    const x = images(2);
    const probed = run(model, x, {
      gate(name, y, dim) {
        check(name, y, dim);
        seen.push(`gate ${name}`);
        return y;
      },
      output(name, y, dim) {
        check(name, y, dim);
        seen.push(`output ${name}`);
      },
    });
    expect(seen).toEqual(groups.flatMap(({ name }) => [`gate ${name}`, `output ${name}`]));
    // Without a probe, and without gradients, whole blocks are one operator, which rounds differently.
    expect(probed.equal(model.forward(x))).toBe(true);
    expect(relativeDifference(probed, run(model, x))).toBeLessThan(rounding);
  });

  it('learns a few images, is pruned, saved, loaded and learns on', () => {
    const model = fresh({ dropPath: 0.1 });
    // One bright quarter per class.
    const x = zeros([8, 3, side, side]);
    const labels = [0, 1, 2, 3, 0, 1, 2, 3];
    const half = side / 2;
    labels.forEach((label, i) => {
      x.select(0, i)
        .narrow(1, (label >> 1) * half, half)
        .narrow(2, (label & 1) * half, half)
        .fill_(1);
    });
    x.add_(randn(x.shape).mul(0.1));
    const y = tensor(labels, { dtype: 'int64' });
    const learn = (learner: ImageModel, steps: number): number[] => {
      const optimizer = new optim.AdamW(learner.parameters(), { lr: 3e-3, weightDecay: 0 });
      return Array.from({ length: steps }, () =>
        scope(() => {
          const loss = F.crossEntropy(learner.forward(x), y);
          optimizer.zeroGrad();
          loss.backward();
          optimizer.step();
          return loss.item();
        }),
      );
    };
    const losses = learn(model, 25);
    expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] as number));

    const kept = new Map(
      model.pruningGroups().map((group) => [group.name, unitsOf(group, (unit) => unit % 2 === 0)]),
    );
    const folder = mkdtempSync(join(tmpdir(), 'families-'));
    try {
      const pruned = pruneModel(model, kept).eval();
      const path = join(folder, 'model.safetensors');
      const info = { classes: ['a', 'b', 'c', 'd'], mean: [0, 0, 0], std: [1, 1, 1], history: [] };
      saveModel(path, pruned, info);
      const loaded = loadModel(path).model;
      expect(loaded.config).toEqual(pruned.config);
      expect(run(loaded, x).equal(run(pruned, x))).toBe(true);
      loaded.train();
      const again = learn(loaded, 25);
      expect(again.at(-1)).toBeLessThan(again[0] as number);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('drops paths at random in training only', () => {
    const model = fresh({ dropPath: 0.9 });
    const x = images(4);
    const passes = (): Tensor[] => Array.from({ length: 6 }, () => run(model, x));
    const [first, ...others] = passes() as [Tensor, ...Tensor[]];
    expect(others.every((other) => other.equal(first))).toBe(false);
    model.eval();
    const [still, ...rest] = passes() as [Tensor, ...Tensor[]];
    expect(rest.every((other) => other.equal(still))).toBe(true);
  });

  it('gives the same weights for the same seed', () => {
    const [a, b] = [fresh(), fresh()].map((model) => [...model.stateDict().values()]);
    expect(a?.every((value, i) => value.equal(b?.[i] as Tensor))).toBe(true);
  });
});

it('are all found by name', () => {
  expect(modelNames()).toEqual([
    'mamba_quick',
    'mamba_nano',
    'mamba_tiny',
    'mamba_small',
    'mamba_base',
    'vit_tiny',
    'vit_small',
    'vit_base',
    'vit_large',
    'resnet20',
    'resnet32',
    'resnet44',
    'resnet56',
    'resnet110',
    'resnet18',
    'resnet34',
    'resnet50',
    'resnet101',
    'resnet152',
    'vmamba_tiny',
    'vmamba_small',
    'vmamba_base',
    'vmamba_nano',
    'vim_tiny',
    'vim_small',
    'vim_base',
    'vim_nano',
  ]);
  expect(() => createModel('vit_huge')).toThrow(/got 'vit_huge'.*mamba_nano.*vit_tiny.*resnet50/);
});

/** Multiplies the units that are not kept by 0. */
function gateOf(group: PruningGroup, kept: readonly number[]): (x: Tensor, dim: number) => Tensor {
  return (x, dim) => {
    const unitSize = x.size(dim) / group.size;
    const factors = ones([group.size, unitSize]);
    for (let unit = 0; unit < group.size; unit++) {
      if (!kept.includes(unit)) factors.select(0, unit).zero_();
    }
    const shape = Array<number>(x.ndim).fill(1);
    shape[dim] = x.size(dim);
    return x.mul(factors.reshape(...shape));
  };
}
