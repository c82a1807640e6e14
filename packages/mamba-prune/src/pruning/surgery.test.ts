import { type Tensor, memoryStats, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { describe, expect, it, vi } from 'vitest';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { pruneOneShot } from './oneshot.js';
import { chooseUnits } from './select-units.js';
import { maskModel, pruneModel } from './surgery.js';
import { smallMamba, weightOf } from './testing/models.js';

const run = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));

/** In double precision, which float32 weights convert to exactly. */
const runExactly = (model: ImageModel, images: Tensor): Tensor =>
  run(model.to('float64'), images.to('float64'));

/** Largest difference relative to the largest value. */
function difference(a: Tensor, b: Tensor): number {
  return a.sub(b).abs().max().item() / b.abs().max().item();
}

// Removing units changes the order of the sums in the matrix products, nothing else: some dozens of
// roundings over two blocks, of 6e-8 each in float32 and 1e-16 in float64.
const rounding = 1e-5;
const doubleRounding = 1e-13;

/** Two of the step sizes' ranks, so that one can go. */
const twoRanks = { dModel: 32 } as const;

const countOf = (model: ImageModel): number =>
  model.macs().reduce((sum, entry) => sum + entry.macs, 0);

describe('surgery', () => {
  for (const scan of ['uni', 'bi'] as const) {
    for (const group of smallMamba({ ...twoRanks, scan }).pruningGroups()) {
      it(`equals masking for ${group.name} of a ${scan} model`, () => {
        const model = smallMamba({ ...twoRanks, scan });
        const images = randn([2, 3, 12, 12]);
        const units = Array.from({ length: group.size }, (_, u) => u).filter((u) => u % 3 !== 1);
        const kept = new Map([[group.name, units]]);
        const pruned = pruneModel(model, kept);
        const dense = runExactly(model, images);
        maskModel(model, kept);
        const masked = runExactly(model, images);
        expect(difference(runExactly(pruned, images), masked)).toBeLessThan(doubleRounding);
        // The units did matter, if only a little: step sizes start so small that ranks hardly do.
        expect(difference(masked, dense)).toBeGreaterThan(1e-6);
        expect(pruned.config.widths[group.name]).toBe(units.length);
        expect(pruned.numParameters()).toBeLessThan(model.numParameters());
        expect(countOf(pruned)).toBeLessThan(countOf(model));
      });
    }
  }

  it('equals masking for all groups at once, and again on a pruned model', async () => {
    const images = randn([2, 3, 12, 12]);
    let model = smallMamba({ dModel: 64, scan: 'bi', dState: 6 }); // rank 4
    for (const rate of [0.5, 0.4]) {
      const kept = await chooseUnits(model, {
        rates: { ssm: rate, mlp: rate, state: rate, dt_rank: rate },
        importance: 'l2',
        ranking: 'global',
      });
      const pruned = pruneModel(model, kept);
      maskModel(model, kept);
      expect(difference(run(pruned, images), run(model, images))).toBeLessThan(rounding);
      model = pruned;
    }
    const { widths } = model.config;
    expect(widths['blocks.0.ssm']).toBeLessThan(128);
    // 12 states in all: 6, then 4 of them (0.6 * 6 = 3.6); 8 ranks: 4, then 2 (2.4).
    const total = (kind: string): number =>
      (widths[`blocks.0.${kind}`] ?? NaN) + (widths[`blocks.1.${kind}`] ?? NaN);
    expect(total('state')).toBe(4);
    expect(total('dt_rank')).toBe(2);
  });

  it.each(['float64', 'bfloat16'] as const)('keeps the element type: %s', (dtype) => {
    const model = smallMamba().to(dtype);
    const pruned = pruneModel(model, new Map([['blocks.0.ssm', [0, 2, 5]]]));
    expect(new Set([...pruned.stateDict().values()].map((tensor) => tensor.dtype))).toEqual(
      new Set([dtype]),
    );
  });

  it('removes exactly the rows and columns of a channel', () => {
    const model = smallMamba();
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

  it('cuts channels, states and ranks out of the one matrix that holds all three', () => {
    const model = smallMamba(twoRanks); // x_proj: rows of 2 ranks, 4 B, 4 C; columns of 64 channels
    const channels = Array.from({ length: 64 }, (_, u) => u).filter((u) => u % 2 === 0);
    const pruned = pruneModel(
      model,
      new Map([
        ['blocks.0.ssm', channels],
        ['blocks.0.state', [0, 3]],
        ['blocks.0.dt_rank', [1]],
      ]),
    );
    const before = (name: string): Tensor => weightOf(model, `blocks.0.ssm.${name}`);
    const after = (name: string): Tensor => weightOf(pruned, `blocks.0.ssm.${name}`);
    const rows = [1, 2, 5, 6, 9];
    const expected = before('x_proj.weight').indexSelect(0, rows).indexSelect(1, channels);
    expect(after('x_proj.weight').equal(expected)).toBe(true);
    const decay = before('A_log').indexSelect(0, channels).indexSelect(1, [0, 3]);
    expect(after('A_log').equal(decay)).toBe(true);
    const steps = before('dt_proj.weight').indexSelect(0, channels).indexSelect(1, [1]);
    expect(after('dt_proj.weight').equal(steps)).toBe(true);
    expect(pruned.config.widths).toMatchObject({
      'blocks.0.ssm': 32,
      'blocks.0.state': 2,
      'blocks.0.dt_rank': 1,
    });
    expect(weightOf(pruned, 'blocks.1.ssm.x_proj.weight').shape).toEqual([10, 64]);
  });

  it('leaves the given model alone', async () => {
    const model = smallMamba();
    const images = randn([1, 3, 12, 12]);
    const before = run(model, images);
    await pruneOneShot(model, { rates: { ssm: 0.9 }, importance: 'l1', ranking: 'layer' });
    expect(run(model, images).equal(before)).toBe(true);
  });

  it('makes the parameters and multiply-accumulates that a hand computes', async () => {
    const { model } = await pruneOneShot(smallMamba(), {
      rates: { ssm: 0.75, mlp: 0.5 },
      importance: 'l2',
      ranking: 'layer',
    });
    // d_model 16, d_inner 8, mlp 32, N 4, R 1, conv 4
    const ssm = 16 * 16 + (8 * 4 + 8) + 8 * 9 + (8 + 8) + 8 * 4 + 8 + 8 * 16;
    const block = ssm + (16 * 32 + 32) + (32 * 16 + 16) + 4 * 16;
    const rest = 48 * 16 + 16 + 9 * 16 + 2 * 16 + 16 * 5 + 5;
    expect(model.numParameters()).toBe(2 * block + rest);
    const ssmMacs = 9 * (16 * 16 + 8 * 4 + 8 * 9 + 8 + 8 * (3 * 4 + 2) + 8 * 16);
    expect(countOf(model)).toBe(9 * 48 * 16 + 2 * (ssmMacs + 9 * 2 * 16 * 32) + 16 * 5);
  });

  it('makes them with states and ranks cut as well', async () => {
    const { model } = await pruneOneShot(smallMamba(twoRanks), {
      rates: { ssm: 0.75, mlp: 0.5, state: 0.25, dt_rank: 0.5 },
      importance: 'l2',
      ranking: 'layer',
    });
    // d_model 32, d_inner 16, mlp 64, N 3, R 1, conv 4
    const ssm = 32 * 32 + (16 * 4 + 16) + 16 * (1 + 6) + (16 + 16) + 16 * 3 + 16 + 16 * 32;
    const block = ssm + (32 * 64 + 64) + (64 * 32 + 32) + 4 * 32;
    const rest = 48 * 32 + 32 + 9 * 32 + 2 * 32 + 32 * 5 + 5;
    expect(model.numParameters()).toBe(2 * block + rest);
    const ssmMacs = 9 * (32 * 32 + 16 * 4 + 16 * 7 + 16 + 16 * (3 * 3 + 2) + 16 * 32);
    expect(countOf(model)).toBe(9 * 48 * 32 + 2 * (ssmMacs + 9 * 2 * 32 * 64) + 32 * 5);
  });

  it('frees the new model where its weights do not fit', () => {
    const model = smallMamba();
    const withWidths = model.withWidths.bind(model);
    // Of another size than the cut makes of the weights; what its making leaves is no part of it.
    vi.spyOn(model, 'withWidths').mockImplementation(() => scope(() => withWidths({})));
    const { tensors } = memoryStats();
    expect(() => pruneModel(model, new Map([['blocks.0.ssm', [0, 2, 5]]]))).toThrow(/blocks\.0/);
    expect(memoryStats().tensors).toBe(tensors);
  });

  it('refuses to empty a group, unknown groups and indices that are no units', () => {
    const model = smallMamba();
    const cut = (name: string, units: number[]) => () =>
      pruneModel(model, new Map([[name, units]]));
    expect(cut('blocks.0.ssm', [])).toThrow(/would end empty/);
    expect(cut('blocks.0.state', [])).toThrow(/would end empty/);
    expect(cut('blocks.9.ssm', [0])).toThrow(/blocks\.9\.ssm.*blocks\.0\.ssm/);
    expect(cut('blocks.0.ssm', [3, 2])).toThrow(UsageError);
    expect(cut('blocks.0.ssm', [32])).toThrow(/below 32/);
  });
});
