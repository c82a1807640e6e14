// Budgets in runs on a tiny model: the saved model is counted.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { inspectModel } from '../../models/inspect.js';
import type { ImageModel } from '../../models/image-model.js';
import { loadModel } from '../../models/model-file.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';
import { longestText, targetsOf } from './cost-budget.js';
import type { CostBudgetSettings } from './cost-budget-settings.js';
import { encodeUnits } from './kept-units.js';
import type { LatencyTimer } from './latency-table.js';
import { type PruningRecord, readPruningRecord } from './record.js';
import { pruneRun } from './run.js';
import { type PruneSettings, resolvePruneSettings } from './settings.js';
import type { RunControl } from '../settings.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');
let before = { macs: 0, parameters: 0, bytes: 0 };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-budgets-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  before = { ...inspectModel(model), bytes: statSync(dense()).size };
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const rates = { ssm: 0, mlp: 0 };
const settingsOf = (costBudget: CostBudgetSettings, changes: Partial<PruneSettings> = {}) =>
  tinyPruning(dense(), at('images'), { rates, costBudget, ...changes });

async function prune(
  name: string,
  costBudget: CostBudgetSettings,
  changes: Partial<PruneSettings> = {},
  control: Partial<RunControl> = {},
): Promise<PruningRecord> {
  const run = await pruneRun(settingsOf(costBudget, changes), { out: at(name), ...control });
  run.model.dispose();
  expect(run.finished).toBe(true);
  return run.record;
}

/** What the saved model costs. */
function saved(name: string) {
  const path = at(name, 'model.safetensors');
  const { model } = loadModel(path);
  const { macs, parameters } = inspectModel(model);
  model.dispose();
  return { macs, parameters, bytes: statSync(path).size };
}

// d_model 8, 3 states, rank 1, 4 taps, 4 patches. A channel: 8 · 2 + 8 + 5 + 7 + 2 + 3 + 1 parameters; a neuron 17.
const unitParameters = 42;
const unitMacs = 4 * (3 * 8 + 4 + 7 + 1 + 11);

const trained = { ...tinyRecipe, epochs: 1 };
const methods: [name: string, changes: Partial<PruneSettings>][] = [
  ['oneshot', {}],
  ['oneshot-global', { ranking: 'global' }],
  ['per-cost', { ranking: 'global', rankBy: 'score-per-cost' }],
  ['rounds', { ranking: 'global', rounds: 3, recipe: trained }],
  [
    'refill-add',
    {
      method: 'refill',
      refill: { fillback: 0.3, score: 'gradient', budget: 'add' },
      scoreBatches: 1,
    },
  ],
  [
    'refill-keep',
    { method: 'refill', refill: { fillback: 0.2, budget: 'keep' }, rounds: 2, ranking: 'global' },
  ],
  ['rsst-all', { method: 'rsst', rsst: { epochs: 1 }, recipe: trained }],
  [
    'rsst-doomed',
    { method: 'rsst', rsst: { epochs: 1, units: 'doomed' }, recipe: trained, ranking: 'global' },
  ],
  ['minimum', { ranking: 'global', minWidth: '25%', rateOf: { 'blocks.0.ssm': 0 } }],
];

describe('a budget', () => {
  it.each(methods)(
    'of MACs, parameters and bytes holds for %s',
    async (name, changes) => {
      for (const of of ['macs', 'params', 'file'] as const) {
        const run = `${name}-${of}`;
        // Read as 0.6x.
        const amount = of === 'file' ? '0.75x' : of === 'macs' ? '.60x' : '0.6x';
        const record = await prune(run, { [of]: amount }, changes);
        const after = saved(run);
        const [reached, first, unit] = {
          macs: [after.macs, before.macs, unitMacs],
          params: [after.parameters, before.parameters, unitParameters],
          // A unit's bytes, and what the text of the units kept could have been longer: 4 per unit, of 96 units.
          file: [after.bytes, before.bytes, 4 * unitParameters + 400],
        }[of] as [number, number, number];
        const limit = (of === 'file' ? 0.75 : 0.6) * first;
        expect(reached).toBeLessThanOrEqual(limit);
        // One unit of the widest kind; with refill two may return at once where one more stays.
        expect(limit - reached).toBeLessThan(2 * unit);
        expect(record.costBudget).toEqual([
          {
            of,
            asked: of === 'file' ? '0.75x' : '0.6x',
            before: first,
            reached,
            limit: expect.closeTo(limit, 6) as number,
          },
        ]);
      }
    },
    60_000,
  );

  it('is judged by all rounds of refill together: what one gives back the next cuts again', async () => {
    const refilling = {
      method: 'refill',
      refill: { fillback: 0.5, budget: 'add' },
      ranking: 'global',
    } as const;
    const once = prune('refill-once', { macs: '0.5x' }, refilling);
    await expect(once).rejects.toThrow(/the least that these groups can be cut to/);
    const { rounds } = await prune('refill-rounds', { macs: '0.5x' }, { ...refilling, rounds: 3 });
    expect(rounds).toHaveLength(3);
    const { macs } = saved('refill-rounds');
    expect(macs).toBeLessThanOrEqual(0.5 * before.macs);
    // Two units may return at once where one more stays.
    expect(0.5 * before.macs - macs).toBeLessThan(2 * unitMacs);
    const deeper = prune('refill-deeper', { macs: '0.01x' }, { ...refilling, rounds: 3 });
    await expect(deeper).rejects.toThrow(/the least that these groups can be cut to/);
  });

  it('rounds widths up, and never over it', async () => {
    await prune('rounded', { params: '0.6x' }, { roundTo: 4, ranking: 'global' });
    const { parameters } = saved('rounded');
    expect(parameters).toBeLessThanOrEqual(0.6 * before.parameters);
    expect(0.6 * before.parameters - parameters).toBeLessThan(4 * unitParameters);
  });

  it('of bytes counts what a compensation tells in the history', async () => {
    const changes = { compensate: { images: 30 } };
    const { costBudget = [], widthsAfter } = await prune('told', { file: '0.75x' }, changes);
    const { model, info } = loadModel(dense());
    const settings = resolvePruneSettings(settingsOf({ file: '0.75x' }, changes));
    const [target] = targetsOf(costBudget, settings, { model, info });
    model.dispose();
    expect(saved('told').bytes).toBeLessThanOrEqual(target?.cost(widthsAfter) ?? 0);
  });

  it('of several amounts holds for all', async () => {
    const { costBudget } = await prune('all', { macs: '0.7x', params: '0.6x' });
    const after = saved('all');
    expect(after.macs).toBeLessThanOrEqual(0.7 * before.macs);
    expect(after.parameters).toBeLessThanOrEqual(0.6 * before.parameters);
    expect(costBudget?.map(({ of }) => of)).toEqual(['macs', 'params']);
  });

  it('is reached by rounds that each remove the same share', async () => {
    const { rounds } = await prune(
      'geometric',
      { params: '0.5x' },
      { rounds: 2, ranking: 'global' },
    );
    const [first, second] = rounds.map((round) => 1 - (round.rates['mlp'] as number));
    expect(first).toBeCloseTo(Math.sqrt(second as number), 1);
    expect(rounds[0]?.parameters).toBeGreaterThan(rounds[1]?.parameters ?? 0);
  });

  it('is found out of reach, or to hold already, before anything is written', async () => {
    await expect(prune('none', { params: 100 })).rejects.toThrow(
      /^budget: the least that these groups can be cut to is [\d,]+ parameters \(the budget is 100\)/,
    );
    await expect(prune('none', { macs: '1.5x' })).rejects.toThrow(
      /^prune: the model has .* MACs, which fits the budget already: there is nothing to cut. Lower the budget.$/,
    );
    expect(readPruningRecord(at('none'))).toBeUndefined();
  });

  it('is refused with what decides the rates otherwise', () => {
    const refuse = (costBudget: CostBudgetSettings, changes: Partial<PruneSettings> = {}) =>
      expect(() => resolvePruneSettings(settingsOf(costBudget, changes)));
    refuse({ macs: '0.5x' }, { rates: { ssm: 0.5 } }).toThrow(
      'got the rate 0.5 of ssm and a budget',
    );
    refuse({ macs: '0.5x' }, { perRound: true }).toThrow('got `perRound` with a budget');
    refuse({ macs: '0.5x' }, { method: 'rsst', rsst: { nearZero: 0.1 }, recipe: trained }).toThrow(
      'got `nearZero` with a budget',
    );
    refuse({}).toThrow('got a budget without an amount');
    refuse({ macs: '50%' as '0.5x' }).toThrow("budget: MACs: got '50%', expected a number above 0");
    refuse({ latency: { ms: 1, batch: 0 } }).toThrow('got the batch 0 of a latency');
  });

  it('ends as it would have ended where the run was stopped', async () => {
    const changes = { rounds: 2, ranking: 'global', recipe: trained } as const;
    const whole = await prune('whole', { macs: '0.6x' }, changes);
    const controller = new AbortController();
    const settings = settingsOf({ macs: '0.6x' }, changes);
    const stopped = await pruneRun(
      settings,
      { out: at('stopped'), signal: controller.signal },
      {
        onCut: () => {
          controller.abort();
        },
      },
    );
    stopped.model.dispose();
    expect(stopped.finished).toBe(false);
    const run = await pruneRun(settings, { out: at('stopped'), resume: true });
    run.model.dispose();
    expect(run.record).toEqual(whole);
  });
});

describe('groups that stay whole', () => {
  it('are neither pulled nor cut by rsst, under a rate and under near-zero', async () => {
    const rateOf = { 'blocks.0.mlp': 0 };
    const changes = { method: 'rsst', rateOf, recipe: trained, ranking: 'global' } as const;
    const settings = (more: Partial<PruneSettings>) =>
      tinyPruning(dense(), at('images'), { ...changes, ...more });
    for (const [name, more] of [
      ['whole-rate', { rates: { mlp: 0.5 }, rsst: { epochs: 1 } }],
      ['whole-near-zero', { rates: { mlp: 0 }, rsst: { epochs: 1, nearZero: 0.9 } }],
    ] as const) {
      const run = await pruneRun(settings(more), { out: at(name) });
      run.model.dispose();
      expect(run.record.widthsAfter['blocks.0.mlp']).toBe(32);
      expect(run.record.widthsAfter['blocks.1.mlp']).toBeLessThan(32);
    }
    // All of a kind whole: what is left is pulled.
    const run = await pruneRun(
      settings({
        rates: { ssm: 0, mlp: 0.5 },
        rateOf: { 'blocks.0.ssm': 0, 'blocks.1.ssm': 0 },
        rsst: { epochs: 1 },
      }),
      { out: at('whole-kind') },
    );
    run.model.dispose();
    expect(run.record.widthsAfter).toMatchObject({ 'blocks.0.ssm': 16, 'blocks.1.ssm': 16 });
    expect(() =>
      resolvePruneSettings(
        settings({ rates: { mlp: 0 }, rateOf: { a: 0.5 }, rsst: { epochs: 1, nearZero: 0.9 } }),
      ),
    ).toThrow('got the rate 0.5 of a with `nearZero`');
  });
});

describe('the text of units', () => {
  it('is never longer than it is counted', () => {
    // All subsets of seven of 12 units, so that both have two digits.
    const size = 12;
    for (let bits = 1; bits < 2 ** size; bits++) {
      const units = Array.from({ length: size }, (_, i) => i).filter((i) => bits & (1 << i));
      expect(encodeUnits(units).length).toBeLessThanOrEqual(longestText(units.length, size));
    }
  });
});

/** As if the time were one part for the pass and one for each unit; every call of it is kept. */
function fakeTimer(msOf: (model: ImageModel) => number): { timer: LatencyTimer; calls: number[] } {
  const calls: number[] = [];
  return {
    calls,
    timer: (models) => {
      calls.push(models.length);
      const times = models.map(msOf);
      const first = times[0] ?? NaN;
      return Promise.resolve(times.map((ms) => ({ ms, ratio: ms / first, spread: 0.01 })));
    },
  };
}

const unitsIn = (model: ImageModel, kind: string): number =>
  model.pruningGroups().reduce((sum, group) => sum + (group.kind === kind ? group.size : 0), 0);

describe('a budget of latency', () => {
  it('is solved on measured widths, and corrected by what came out', async () => {
    // 32 channels and 64 neurons: 1 + 0.32 + 0.32 ms; what the kinds do together no table of each sees.
    const msOf = (model: ImageModel): number => {
      const [ssm, mlp] = [unitsIn(model, 'ssm'), unitsIn(model, 'mlp')];
      return 1 + 0.01 * ssm + 0.005 * mlp + 0.0002 * ssm * mlp;
    };
    const { timer, calls } = fakeTimer(msOf);
    const record = await prune(
      'latency',
      { latency: { ms: 1.5, batch: 4 } },
      { ranking: 'global' },
      { latencyTimer: timer },
    );
    const { model } = loadModel(at('latency', 'model.safetensors'));
    expect(msOf(model)).toBeLessThanOrEqual(1.5);
    expect(msOf(model)).toBeGreaterThan(1.5 * 0.96);
    const [entry] = record.costBudget ?? [];
    expect(entry).toMatchObject({ of: 'latency', asked: 1.5, limit: 1.5, spread: 0.01 });
    expect(entry?.measured).toBeCloseTo(msOf(model), 12);
    expect(record.latencyTable).toMatchObject({ batch: 4, device: 'cpu' });
    model.dispose();
    // Seven or eight widths of two kinds twice, and at most three models that were built; each beside the dense one.
    expect(calls.slice(0, 4).every((count) => count >= 8)).toBe(true);
    expect(calls.slice(4).every((count) => count === 2)).toBe(true);
    expect(calls.slice(4).length).toBeLessThanOrEqual(3);
  });

  it('that no model of these groups meets is refused, whatever the table promises', async () => {
    // Either kind alone seems to take nearly all of the time, so that both together would save more than there is.
    const msOf = (model: ImageModel): number =>
      1 + 0.005 * unitsIn(model, 'ssm') * unitsIn(model, 'mlp');
    const asked = prune(
      'latency-unreached',
      { latency: { ms: 0.5, batch: 1 } },
      { ranking: 'global' },
      { latencyTimer: fakeTimer(msOf).timer },
    );
    // No model takes less than the constant part.
    await expect(asked).rejects.toThrow(
      /the least that these groups can be cut to is 1\.0\d+ ms of latency \(the budget is 0\.5\)/,
    );
  });

  it('as a share is one of what the model took, and goes on with the table of before', async () => {
    const msOf = (model: ImageModel): number => 1 + unitsIn(model, 'ssm') + unitsIn(model, 'mlp');
    const changes = { rounds: 2, ranking: 'global', recipe: trained } as const;
    const controller = new AbortController();
    const settings = settingsOf({ latency: { ms: '0.5x', batch: 1 } }, changes);
    const stopped = await pruneRun(
      settings,
      { out: at('shared'), signal: controller.signal, latencyTimer: fakeTimer(msOf).timer },
      {
        onCut: () => {
          controller.abort();
        },
      },
    );
    stopped.model.dispose();
    const { timer, calls } = fakeTimer(msOf);
    const run = await pruneRun(settings, { out: at('shared'), resume: true, latencyTimer: timer });
    expect(msOf(run.model)).toBeLessThanOrEqual(97 / 2);
    expect(msOf(run.model)).toBeGreaterThan(46);
    run.model.dispose();
    expect(run.record.costBudget?.[0]).toMatchObject({ asked: '0.5x', before: 97, limit: 48.5 });
    // No table anew: only what came out is measured.
    expect(calls.every((count) => count === 2)).toBe(true);
    expect(calls.length).toBeGreaterThan(0);
  });
});
