import { type Tensor, manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { createModel } from '../models/registry.js';
import { groupImportance } from './importance.js';
import { chooseUnits, pruneOneShot } from './oneshot.js';
import { maskModel, pruneModel } from './surgery.js';

const small = { dModel: 16, depth: 2, dState: 4, numClasses: 5, imageSize: 12 } as const;

function freshModel(scan: 'uni' | 'bi' = 'uni', seed = 0): ImageModel {
  manualSeed(seed);
  const model = createModel('mamba_tiny', { ...small, scan });
  model.eval();
  // A trained model has biases and skips of every size; the initial zeros and ones hide mistakes.
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
  });
  return model;
}

const run = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));

/** Largest difference relative to the largest value. */
function difference(a: Tensor, b: Tensor): number {
  return a.sub(b).abs().max().item() / b.abs().max().item();
}

// Removing units changes the order of the sums in the matrix products, nothing else: a few float32
// roundings (6e-8 each) over two blocks.
const rounding = 1e-5;

describe('surgery', () => {
  for (const scan of ['uni', 'bi'] as const) {
    for (const group of freshModel(scan).pruningGroups()) {
      it(`equals masking for ${group.name} of a ${scan} model`, () => {
        const model = freshModel(scan);
        const images = randn([2, 3, 12, 12]);
        const units = Array.from({ length: group.size }, (_, u) => u).filter((u) => u % 3 !== 1);
        const kept = new Map([[group.name, units]]);
        const pruned = pruneModel(model, kept);
        const dense = run(model, images);
        maskModel(model, kept);
        const masked = run(model, images);
        expect(difference(run(pruned, images), masked)).toBeLessThan(rounding);
        expect(difference(masked, dense)).toBeGreaterThan(1e-3); // the units did matter
        expect(pruned.config.widths[group.name]).toBe(units.length);
      });
    }
  }

  it('equals masking for all groups at once, and again on a pruned model', () => {
    const images = randn([2, 3, 12, 12]);
    let model = freshModel('bi');
    for (const rate of [0.5, 0.4]) {
      const kept = chooseUnits(model, {
        rates: { ssm: rate, mlp: rate },
        importance: 'l2',
        scope: 'global',
      });
      const pruned = pruneModel(model, kept);
      maskModel(model, kept);
      expect(difference(run(pruned, images), run(model, images))).toBeLessThan(rounding);
      model = pruned;
    }
    expect(model.config.widths['blocks.0.ssm']).toBeLessThan(32);
  });

  it('removes exactly the rows and columns of the unit', () => {
    const model = freshModel();
    const before = model.stateDict();
    const kept = Array.from({ length: 32 }, (_, u) => u).filter((u) => u !== 7);
    const after = pruneModel(model, new Map([['blocks.1.ssm', kept]])).stateDict();
    const get = (state: Map<string, Tensor>, name: string): Tensor =>
      state.get(`blocks.1.ssm.${name}`) as Tensor;
    const both = [...kept, ...kept.map((u) => 32 + u)];
    expect(
      get(after, 'in_proj.weight').equal(get(before, 'in_proj.weight').indexSelect(0, both)),
    ).toBe(true);
    for (const [name, dim] of [
      ['conv1d.weight', 0],
      ['conv1d.bias', 0],
      ['x_proj.weight', 1],
      ['dt_proj.weight', 0],
      ['dt_proj.bias', 0],
      ['A_log', 0],
      ['D', 0],
      ['out_proj.weight', 1],
    ] as const) {
      expect(get(after, name).equal(get(before, name).indexSelect(dim, kept)), name).toBe(true);
    }
    const untouched = 'blocks.0.ssm.in_proj.weight';
    expect((after.get(untouched) as Tensor).equal(before.get(untouched) as Tensor)).toBe(true);
  });

  it('leaves the given model alone', () => {
    const model = freshModel();
    const images = randn([1, 3, 12, 12]);
    const before = run(model, images);
    pruneOneShot(model, { rates: { ssm: 0.9 }, importance: 'l1', scope: 'layerwise' });
    expect(run(model, images).equal(before)).toBe(true);
  });

  it('makes the parameters and multiply-accumulates that a hand computes', () => {
    const { model } = pruneOneShot(freshModel(), {
      rates: { ssm: 0.75, mlp: 0.5 },
      importance: 'l2',
      scope: 'layerwise',
    });
    // d_model 16, d_inner 8, mlp 32, N 4, R 1, conv 4
    const ssm = 16 * 16 + (8 * 4 + 8) + 8 * 9 + (8 + 8) + 8 * 4 + 8 + 8 * 16;
    const block = ssm + (16 * 32 + 32) + (32 * 16 + 16) + 4 * 16;
    const rest = 48 * 16 + 16 + 9 * 16 + 2 * 16 + 16 * 5 + 5;
    expect(model.numParameters()).toBe(2 * block + rest);
    const macs = model.macs().reduce((sum, entry) => sum + entry.macs, 0);
    const ssmMacs = 9 * (16 * 16 + 8 * 4 + 8 * 9 + 8 + 8 * (3 * 4 + 2) + 8 * 16);
    expect(macs).toBe(9 * 48 * 16 + 2 * (ssmMacs + 9 * 2 * 16 * 32) + 16 * 5);
  });

  it('refuses to empty a group, unknown groups and indices that are no units', () => {
    const model = freshModel();
    const cut = (name: string, units: number[]) => () =>
      pruneModel(model, new Map([[name, units]]));
    expect(cut('blocks.0.ssm', [])).toThrow(/would end empty/);
    expect(cut('blocks.9.ssm', [0])).toThrow(/blocks\.9\.ssm.*blocks\.0\.ssm/);
    expect(cut('blocks.0.ssm', [3, 2])).toThrow(UsageError);
    expect(cut('blocks.0.ssm', [32])).toThrow(/below 32/);
  });
});

describe('importance', () => {
  it('is the norm of the out_proj column for SSM channels', () => {
    const model = freshModel();
    noGrad(() => {
      const weight = model.stateDict().get('blocks.0.ssm.out_proj.weight') as Tensor;
      weight.zero_();
      weight.select(1, 3).fill_(2); // 16 rows
      weight.select(0, 0).narrow(0, 5, 1).fill_(-3);
    });
    const scores = (norm: 'l1' | 'l2'): number[] =>
      Array.from(
        groupImportance(model.pruningGroups(), model.stateDict(), norm).get('blocks.0.ssm') ?? [],
      );
    expect(scores('l1').slice(2, 6)).toEqual([0, 32, 0, 3]);
    expect(scores('l2').slice(2, 6)).toEqual([0, 8, 0, 3]);
  });

  it('is the norm of the fc1 row plus the norm of the fc2 column for neurons', () => {
    const model = freshModel();
    noGrad(() => {
      const state = model.stateDict();
      const fc1 = state.get('blocks.1.mlp.0.weight') as Tensor;
      const fc2 = state.get('blocks.1.mlp.2.weight') as Tensor;
      fc1.zero_();
      fc2.zero_();
      fc1
        .select(0, 2)
        .narrow(0, 0, 2)
        .copy_(randn([2]).zero_().add(3)); // [3, 3, 0 ...]
      fc2.select(1, 2).narrow(0, 4, 1).fill_(-4);
    });
    const score = (norm: 'l1' | 'l2'): number =>
      groupImportance(model.pruningGroups(), model.stateDict(), norm).get('blocks.1.mlp')?.[2] ??
      -1;
    expect(score('l1')).toBeCloseTo(10, 12);
    expect(score('l2')).toBeCloseTo(Math.sqrt(18) + 4, 12);
  });

  it('finds planted useless units', () => {
    const model = freshModel();
    const useless = [4, 11, 30];
    noGrad(() => {
      const weight = model.stateDict().get('blocks.1.ssm.out_proj.weight') as Tensor;
      for (const unit of useless) weight.select(1, unit).mul_(1e-3);
    });
    const kept = chooseUnits(model, {
      rates: { ssm: 3 / 64 },
      importance: 'l2',
      scope: 'global',
    });
    expect(kept.get('blocks.0.ssm')).toHaveLength(32);
    const removed = Array.from({ length: 32 }, (_, u) => u).filter(
      (u) => !kept.get('blocks.1.ssm')?.includes(u),
    );
    expect(removed).toEqual(useless);
  });
});
