import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { createModel } from '../../models/registry.js';
import { widthCosts } from '../../models/width-costs.js';
import { measureSensitivity } from '../../pruning/sensitivity/measure.js';
import type { SensitivityBy } from '../../pruning/sensitivity/parts.js';
import { chooseUnits } from '../../pruning/select-units.js';
import { pruneModel } from '../../pruning/surgery.js';
import { smallMamba } from '../../pruning/testing/models.js';
import type { SensitivityFile } from './file.js';
import { ratesFrom } from './rates-from.js';

const model = smallMamba();

/** Of the small model, with a loss that grows with the parameters that are gone. */
async function fileOf(
  by: SensitivityBy = 'group',
  kinds = ['ssm', 'mlp'],
  of: ImageModel = model,
): Promise<SensitivityFile> {
  const measured = await measureSensitivity(of, {
    evaluate: (cut) => Promise.resolve({ loss: 1e6 / cut.numParameters(), accuracy: 0.5 }),
    importance: 'l1',
    rates: [0.25, 0.5, 0.75],
    by,
    kinds,
  });
  return {
    kind: 'mamba-prune sensitivity',
    format: 1,
    model: { path: 'm.safetensors', sha256: '', bytes: 1, arch: 'mamba_tiny' },
    images: { dataset: 'folder', split: 'train', count: 1 },
    importance: 'l1',
    score: 'consumer',
    scoreBatches: 1,
    seed: 0,
    precision: 'fp32',
    ...measured,
    kinds,
    rates: [...measured.rates],
    parts: [...measured.parts],
    finished: true,
  };
}

const both = { ssm: 0.5, mlp: 0.25 };

describe('the rates of a file', () => {
  it('remove just the share of each kind that is asked', async () => {
    const { rates, rateOf, origin } = ratesFrom('f', await fileOf(), model, {
      rates: both,
      isSaid: true,
    });
    expect(rates).toEqual(both);
    expect(origin).toBe('the measured sensitivity');
    const kept = await chooseUnits(model, { rates, rateOf, importance: 'l1', ranking: 'global' });
    const units = (kind: string) =>
      [...kept].reduce((sum, [name, list]) => sum + (name.endsWith(kind) ? list.length : 0), 0);
    expect([units('ssm'), units('mlp')]).toEqual([32, 96]);
  });

  it('leave groups the least that they keep, of files too that do not tell it', async () => {
    const options = { baseWidth: 4, blocks: [1], imageSize: 12, numClasses: 4 };
    const vmamba = createModel('vmamba_nano', options);
    const file = await fileOf('group', ['ssm'], vmamba);
    const [part] = file.parts;
    const names = Object.keys(part?.groups ?? {});
    expect(part?.fewest).toEqual(Object.fromEntries(names.map((name) => [name, 2])));
    const parts = file.parts.map((each) => ({ ...each, fewest: undefined }));
    const search = {
      best: { rates: Object.fromEntries(names.map((name) => [name, 0.99])), loss: 1 },
    };
    for (const told of [file, { ...file, parts }] as SensitivityFile[]) {
      const found = ratesFrom('f', { ...told, search } as SensitivityFile, vmamba, {
        rates: { ssm: 0 },
        isSaid: false,
      });
      const size = Object.values(part?.groups ?? {})[0] ?? NaN;
      expect(found.rates['ssm']).toBeCloseTo(1 - 2 / size, 12);
    }
  });

  it('meet a budget together, and not by more than a unit', async () => {
    const target = { metric: 'macs', amount: '0.5x' } as const;
    const asked = { rates: both, target, isSaid: true };
    const { rates, rateOf } = ratesFrom('f', await fileOf(), model, asked);
    const kept = await chooseUnits(model, { rates, rateOf, importance: 'l1', ranking: 'global' });
    const macs = pruneModel(model, kept)
      .macs()
      .reduce((sum, entry) => sum + entry.macs, 0);
    const dense = widthCosts(model).macs({});
    const dearest = Math.max(
      ...model
        .pruningGroups()
        .map(({ name, size }) => dense - widthCosts(model).macs({ [name]: size - 1 })),
    );
    expect(macs).toBeLessThanOrEqual(dense / 2);
    expect(macs).toBeGreaterThan(dense / 2 - dearest);
  });

  it('name the least width where that is what is in the way', async () => {
    const file = await fileOf();
    const asked = { rates: { ssm: 0.7 }, isSaid: true };
    expect(() => ratesFrom('f', file, model, { ...asked, minWidth: '50%' })).toThrow(
      'the most that was measured or allowed, or keeps the least that it may (`minWidth` 50%). Lower `minWidth`, measure higher',
    );
    expect(() => ratesFrom('f', file, model, { ...asked, maxRate: 0.5, minWidth: 2 })).toThrow(
      'the most that was measured or allowed. Measure higher rates',
    );
  });

  it('are not those of a search that took more of a group than it may lose', async () => {
    const rates = { 'blocks.0.ssm': 0.75, 'blocks.1.ssm': 0.25 };
    const best = { name: 'greedy', rates, loss: 1, accuracy: 0.5, macs: 1, parameters: 1 };
    const search = {
      method: 'greedy' as const,
      budget: { metric: 'macs' as const, most: 2 },
      maxRate: 0.75,
      finished: true,
      best,
      candidates: [best],
      evaluations: [],
    };
    const file = { ...(await fileOf()), search };
    const asked = { rates: both, isSaid: false };
    expect(ratesFrom('f', file, model, { ...asked, maxRate: 0.75 }).rateOf).toEqual(rates);
    expect(() => ratesFrom('f', file, model, { ...asked, maxRate: 0.5 })).toThrow(
      'f: got `maxRate` 0.5, but its search takes 0.75 of blocks.0.ssm.',
    );
  });

  it('leave to single groups the rates that they were given', async () => {
    const asked = { rates: both, isSaid: true, rateOf: { 'blocks.0.ssm': 0 } };
    const { rates, rateOf } = ratesFrom('f', await fileOf(), model, asked);
    expect(rateOf).toMatchObject({ 'blocks.0.ssm': 0, 'blocks.1.ssm': 0.5 });
    expect(rates['ssm']).toBe(0.25);
  });

  it('are those of its search unless something is asked', async () => {
    const file = await fileOf();
    const rateOf = Object.fromEntries(file.parts.map(({ name }, i) => [name, i / 4]));
    const found = { loss: 2, accuracy: 0.5, parameters: 1, macs: 1 };
    const searched: SensitivityFile = {
      ...file,
      search: {
        method: 'greedy',
        budget: { metric: 'macs', most: 1 },
        maxRate: 0.75,
        finished: true,
        best: { name: 'greedy', rates: rateOf, ...found },
        candidates: [],
        evaluations: [],
      },
    };
    const said = ratesFrom('f', searched, model, { rates: both, isSaid: false });
    expect(said).toEqual({
      rates: { ssm: 0.25, mlp: 0.5 },
      rateOf,
      origin: 'the greedy search',
      loss: 2,
    });
    const asked = ratesFrom('f', searched, model, { rates: both, isSaid: true });
    expect(asked.origin).toBe('the measured sensitivity');
  });

  it('are one for all groups where kinds were measured, and whole blocks take one rate', async () => {
    const byKind = ratesFrom('f', await fileOf('kind'), model, { rates: both, isSaid: true });
    expect(byKind.rateOf).toEqual({
      'blocks.0.ssm': 0.5,
      'blocks.1.ssm': 0.5,
      'blocks.0.mlp': 0.25,
      'blocks.1.mlp': 0.25,
    });
    const byBlock = await fileOf('block');
    expect(() => ratesFrom('f', byBlock, model, { rates: both, isSaid: true })).toThrow(
      'f: measured ssm and mlp together (by block), so that they cannot have different rates.',
    );
    const even = { rates: { ssm: 0.5, mlp: 0.5 }, isSaid: true };
    expect(ratesFrom('f', byBlock, model, even).rates).toEqual({ ssm: 0.5, mlp: 0.5 });
    expect(() => ratesFrom('f', byBlock, model, { rates: { ssm: 0.5 }, isSaid: true })).toThrow(
      'f: measured blocks.0.ssm, blocks.0.mlp together as blocks.0, but only some of them are to be cut',
    );
  });

  it('reach the largest measured rate, whatever is rounded', async () => {
    const asked = { rates: { ssm: 0.75, mlp: 0.75 }, isSaid: true, roundTo: 5 };
    const { rateOf } = ratesFrom('f', await fileOf(), model, asked);
    // 8 of 32 and 16 of 64, rounded up to multiples of 5.
    expect(rateOf['blocks.0.ssm']).toBeCloseTo(1 - 10 / 32, 12);
    expect(rateOf['blocks.0.mlp']).toBeCloseTo(1 - 20 / 64, 12);
  });

  it('leave the share that is asked of the model itself, whatever else was measured', async () => {
    const other = smallMamba({ scan: 'bi' });
    const amount = '0.8x' as const;
    for (const metric of ['macs', 'parameters'] as const) {
      const target = { metric, amount } as const;
      const own = ratesFrom('f', await fileOf(), model, { rates: both, target, isSaid: true });
      const file = await fileOf('group', ['ssm', 'mlp'], other);
      const { rateOf } = ratesFrom('f', file, model, { rates: both, target, isSaid: true });
      const costs = widthCosts(model)[metric];
      const costOf = (rates: Readonly<Record<string, number>>): number =>
        costs(
          Object.fromEntries(
            model
              .pruningGroups()
              .map(({ name, size }) => [name, Math.round(size * (1 - (rates[name] ?? 0)))]),
          ),
        );
      const most = 0.8 * costOf({});
      expect(costOf(rateOf)).toBeLessThanOrEqual(most);
      expect(costOf(rateOf)).toBeGreaterThan(0.97 * most);
      expect(costOf(own.rateOf)).toBeGreaterThan(0.97 * most);
    }
  });

  it('are refused of a shallower model', async () => {
    const deeper = smallMamba({ depth: 3 });
    for (const by of ['group', 'kind'] as const) {
      const file = await fileOf(by);
      expect(() => ratesFrom('f', file, deeper, { rates: both, isSaid: true })).toThrow(
        "f: got a measurement without the group 'blocks.2.ssm', which this model has, expected all groups of the kind ssm. " +
          'Give the file of this model, or measure it: mamba-prune sensitivity MODEL --out FILE',
      );
    }
    const shortened = await fileOf();
    const parts = shortened.parts.filter(({ kinds }) => !kinds.includes('mlp'));
    expect(() =>
      ratesFrom('f', { ...shortened, parts }, model, { rates: both, isSaid: true }),
    ).toThrow("without the group 'blocks.0.mlp'");
  });

  it('are refused of another model, of one that is not finished, and of kinds that it lacks', async () => {
    const file = await fileOf();
    const asked = { rates: both, isSaid: true };
    expect(() => ratesFrom('f', file, smallMamba({ dModel: 8 }), asked)).toThrow(
      "f: got a measurement of another model, with 32 units in the group 'blocks.0.ssm', which has 16 in this model.",
    );
    expect(() => ratesFrom('f', { ...file, finished: false }, model, asked)).toThrow(
      'f: is not finished, expected every part at every rate. Go on with: mamba-prune sensitivity --resume --out f',
    );
    const more = { rates: { ...both, state: 0.5 }, isSaid: true };
    expect(() => ratesFrom('f', file, model, more)).toThrow(
      'f: holds no measurement of the kind state, only of ssm, mlp. Leave state out, or measure it: mamba-prune ' +
        'sensitivity MODEL --target ssm,mlp,state',
    );
    const deep = { rates: { ssm: 0.9, mlp: 0.9 }, isSaid: true };
    expect(() => ratesFrom('f', file, model, deep)).toThrow(
      /f: got a budget of 6 units, expected at least 16, which are left when every group loses 0.75/,
    );
  });
});
