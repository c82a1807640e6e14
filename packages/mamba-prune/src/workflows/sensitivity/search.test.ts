// Searches on a model whose loss is known: what each unit of a group costs grows with those that are gone.
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { widthCosts } from '../../models/width-costs.js';
import { scoreUnits } from '../../pruning/score-units.js';
import { type Sensitivity, measureSensitivity } from '../../pruning/sensitivity/measure.js';
import { smallMamba } from '../../pruning/testing/models.js';
import type { SearchMethod, SearchRecord } from './file.js';
import { type SearchRatesOptions, searchRates } from './search.js';

/** By the order of the groups: blocks.0.ssm, blocks.0.mlp, blocks.1.ssm, blocks.1.mlp. */
const weights = [9, 0.1, 1, 3];
const kinds = ['ssm', 'mlp'];

/** Shares that are gone, squared and weighted; two that are cut together cost more than one after the other. */
function lossOf(model: ImageModel, dense: ImageModel): number {
  const full = dense.pruningGroups().filter(({ kind }) => kinds.includes(kind));
  const left = new Map(model.pruningGroups().map(({ name, size }) => [name, size]));
  const gone = full.map(({ name, size }) => 1 - (left.get(name) ?? 0) / size);
  return (
    gone.reduce((sum, share, i) => sum + (weights[i] ?? 0) * share ** 2, 1) +
    gone.reduce((a, b) => a * b, 1)
  );
}

interface Set {
  readonly model: ImageModel;
  readonly options: Omit<SearchRatesOptions, 'method'>;
  readonly calls: () => number;
}

async function setUp(share = 0.5): Promise<Set> {
  const model = smallMamba();
  let calls = 0;
  const evaluate = (cut: ImageModel) => {
    calls++;
    return Promise.resolve({ loss: lossOf(cut, model), accuracy: 0.5 });
  };
  const sensitivity: Sensitivity = await measureSensitivity(model, {
    evaluate,
    importance: 'l1',
    rates: [0.25, 0.5, 0.75],
  });
  calls = 0;
  const most = share * widthCosts(model).macs({});
  const scores = await scoreUnits(model, model.pruningGroups(), { importance: 'l1' });
  const budget = { metric: 'macs', most } as const;
  return { model, options: { budget, sensitivity, scores, evaluate }, calls: () => calls };
}

const lossNamed = ({ candidates }: SearchRecord, name: string): number =>
  candidates.find((candidate) => candidate.name === name)?.loss ?? NaN;

describe.each(['greedy', 'evolutionary'] as const)('the %s search', (method: SearchMethod) => {
  it('finds better rates than those that it begins from, within the budget', async () => {
    const { model, options } = await setUp();
    const record = await searchRates(model, { ...options, method });
    expect(record.finished).toBe(true);
    expect(record.candidates.map(({ name }) => name)).toEqual([
      'uniform',
      'global ranking',
      'sensitivity',
      method,
    ]);
    const { best, budget } = record;
    for (const { macs } of [...record.candidates, best as NonNullable<typeof best>]) {
      expect(macs).toBeLessThanOrEqual(budget.most);
    }
    expect(best?.loss).toBeLessThan(lossNamed(record, 'uniform'));
    expect(best?.loss).toBeLessThan(lossNamed(record, 'global ranking'));
    expect(best?.loss).toBeLessThanOrEqual(lossNamed(record, 'sensitivity'));
    // The one that costs least loses most, the one that costs most least.
    const { rates = {} } = best ?? {};
    expect(rates['blocks.0.mlp']).toBe(0.75);
    expect(Math.min(...Object.values(rates))).toBe(rates['blocks.0.ssm']);
  });

  it('ends as if nothing had stopped it, and measures nothing twice', async () => {
    const whole = await setUp();
    const uninterrupted = await searchRates(whole.model, { ...whole.options, method });
    const { model, options, calls } = await setUp();
    let known: SearchRecord | undefined;
    let stops = 0;
    for (; known?.finished !== true && stops < 20; stops++) {
      let asked = 0;
      known = await searchRates(model, { ...options, method, known, isOver: () => ++asked > 30 });
    }
    expect(stops).toBeGreaterThan(1);
    expect(known).toEqual(uninterrupted);
    // The greedy search measures what it would come to when it is stopped, beside the record.
    const extra = method === 'greedy' ? stops - 1 : 0;
    expect(calls()).toBe(uninterrupted.evaluations.length + extra);
  });

  it('gives the best that there is when its time is over', async () => {
    const { model, options } = await setUp();
    let asked = 0;
    const record = await searchRates(model, { ...options, method, isOver: () => ++asked > 6 });
    expect(record.finished).toBe(false);
    expect(record.candidates).toHaveLength(3);
    expect(record.best?.loss).toBeLessThanOrEqual(lossNamed(record, 'sensitivity'));
    expect(record.best?.macs).toBeLessThanOrEqual(record.budget.most);
  });

  it('counts units and parameters too', async () => {
    const { model, options } = await setUp();
    for (const budget of [
      { metric: 'units', most: 100 },
      { metric: 'parameters', most: 0.6 * model.numParameters() },
    ] as const) {
      const { best } = await searchRates(model, { ...options, budget, method });
      const widths = Object.entries(best?.rates ?? {}).map(([name, rate]) => {
        const size = model.pruningGroups().find((group) => group.name === name)?.size ?? 0;
        return Math.round((1 - rate) * size);
      });
      const units = widths.reduce((a, b) => a + b, 0);
      const cost = budget.metric === 'units' ? units : (best?.parameters ?? NaN);
      expect(cost).toBeLessThanOrEqual(budget.most);
      // A unit of the largest more would be too much: within two percent.
      expect(cost).toBeGreaterThan(0.97 * budget.most);
    }
  });
});

describe('searches', () => {
  it('differ by their seed, and are the same for the same', async () => {
    const { model, options } = await setUp();
    const search = (seed: number) =>
      searchRates(model, { ...options, method: 'evolutionary', seed });
    const [a, b, c] = [await search(1), await search(1), await search(2)];
    expect(a).toEqual(b);
    expect(c.evaluations).not.toEqual(a.evaluations);
  });

  it('refuse a budget that the measured rates do not reach, and another model', async () => {
    const { model, options } = await setUp(0.01);
    await expect(searchRates(model, { ...options, method: 'greedy' })).rejects.toThrow(
      'expected at least',
    );
    const other = smallMamba({ depth: 1 });
    await expect(searchRates(other, { ...options, method: 'greedy' })).rejects.toThrow(
      "got a measurement of another model, with 32 units in the group 'blocks.1.ssm', which this model does not have",
    );
  });
});
