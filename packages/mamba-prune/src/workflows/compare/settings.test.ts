import { describe, expect, it } from 'vitest';
import { lrThroughDefault } from '../prune/lr-through.js';
import type { PruneSettings } from '../prune/settings.js';
import {
  type CompareRun,
  type CompareSettings,
  checkCompareSettings,
  planRuns,
} from './settings.js';

const settings: CompareSettings = {
  train: {
    arch: 'mamba_nano',
    dataset: 'fashion-mnist',
    model: { depth: 2 },
    recipe: { epochs: 4, lr: 2e-3 },
  },
  finetune: { epochs: 5, lr: 1e-3, warmupEpochs: 0.5 },
  seeds: [3, 4],
  rates: [0.5, 0.7],
  targets: ['ssm', 'mlp'],
  cut: { importance: 'l1', ranking: 'global', normalize: 'mean', roundTo: 1, maxRate: 1 },
  refill: { fillback: 0.1, score: 'gradient', budget: 'keep' },
  rsst: { epochs: 2, strength: 1e-3 },
  threads: 1,
};

describe('planRuns', () => {
  const runs = planRuns(settings, '/out');

  it('trains one dense model per seed, and every method from it', () => {
    expect(runs.map(({ name }) => name)).toEqual(
      [3, 4].flatMap((seed) =>
        [
          'base',
          'dense',
          'oneshot-50',
          'refill-50',
          'rsst-50',
          'oneshot-70',
          'refill-70',
          'rsst-70',
        ].map((name) => `seed-${seed}/${name}`),
      ),
    );
    for (const run of runs) {
      expect(run.settings.recipe.seed).toBe(run.seed);
      if (run.command !== 'prune') continue;
      expect(run.after).toBe(`seed-${run.seed}/base`);
      expect(run.settings.model).toBe(`/out/seed-${run.seed}/base/model.safetensors`);
      expect(run.settings.dataset).toBe('fashion-mnist');
    }
  });

  it('cuts every method to the same budgets in place of rates of units', () => {
    const budgeted = planRuns({ ...settings, seeds: [3], budget: 'macs', rates: [0.9] }, '/out');
    expect(budgeted.map(({ name }) => name)).toEqual(
      ['base', 'dense', 'oneshot-macs-0.1x', 'refill-macs-0.1x', 'rsst-macs-0.1x'].map(
        (name) => `seed-3/${name}`,
      ),
    );
    const pruned = budgeted.flatMap((run) => (run.command === 'prune' ? [run.settings] : []));
    for (const { rates } of pruned) expect(rates).toEqual({ ssm: 0, mlp: 0 });
    expect(pruned.map(({ costBudget }) => costBudget)).toEqual([
      undefined,
      ...[1, 2, 3].map(() => ({ macs: '0.1x' })),
    ]);
    const other = { ...settings, budget: 'flops' } as unknown as CompareSettings;
    expect(() => {
      checkCompareSettings(other);
    }).toThrow('got the budget "flops", expected one of macs, params, file');
  });

  const pruneSettings = (name: string): PruneSettings => {
    const run = runs.find((found) => found.name === name);
    if (run?.command !== 'prune') throw new Error(`no run ${name}`);
    return run.settings;
  };

  it('gives every method the same number of epochs', () => {
    for (const run of runs.filter(({ command }) => command === 'prune')) {
      const { recipe, rsst } = run.settings as PruneSettings;
      expect(recipe.epochs + (rsst?.epochs ?? 0)).toBe(5);
    }
    expect(pruneSettings('seed-3/rsst-50')).toMatchObject({
      rsst: { epochs: 2, strength: 1e-3 },
      // The same tenth of the epochs as the others: 0.5 of 5.
      recipe: { epochs: 3, warmupEpochs: 0.3, lr: 1e-3 },
    });
  });

  it('gives RSST through the cut the warm-up and the plain epochs of the others', () => {
    const finetune = { ...settings.finetune, plainEpochs: 4 };
    const through = { ...settings, finetune, rsst: { ...settings.rsst, lrThrough: true } };
    const made = planRuns(through, '/out').find(({ name }) => name === 'seed-3/rsst-50');
    expect(made?.settings.recipe).toMatchObject({ epochs: 3, warmupEpochs: 0.5, plainEpochs: 4 });
  });

  it('ends every training without mixing', () => {
    const plain = { ...settings, finetune: { ...settings.finetune, plainEpochs: 4 } };
    const found = planRuns(plain, '/out').map(({ method, settings: { recipe } }: CompareRun) => [
      method,
      recipe.plainEpochs,
    ]);
    // RSST has three epochs left after its regularised ones.
    expect(found.slice(0, 5)).toEqual([
      [undefined, undefined],
      ['dense', 4],
      ['oneshot', 4],
      ['refill', 4],
      ['rsst', 3],
    ]);
  });

  it('removes the same shares under every method, and nothing from the dense model', () => {
    expect(pruneSettings('seed-4/dense').rates).toEqual({ ssm: 0, mlp: 0 });
    for (const method of ['oneshot', 'refill', 'rsst']) {
      const made = pruneSettings(`seed-4/${method}-70`);
      expect(made).toMatchObject({ method, rates: { ssm: 0.7, mlp: 0.7 }, importance: 'l1' });
      expect([made.refill, made.rsst]).toEqual([
        method === 'refill' ? settings.refill : undefined,
        method === 'rsst'
          ? { ...(lrThroughDefault && { lrThrough: false }), ...settings.rsst }
          : undefined,
      ]);
    }
  });
});

describe('the limits of a cut', () => {
  it('are those of every method', () => {
    const cut = { ...settings.cut, minWidth: '10%', rankBy: 'score-per-cost' } as const;
    for (const run of planRuns({ ...settings, cut }, '/out')) {
      if (run.command === 'prune')
        expect(run.settings).toMatchObject({ minWidth: '10%', rankBy: 'score-per-cost' });
    }
  });
});

describe('checkCompareSettings', () => {
  it.each<[string, Partial<CompareSettings>, string]>([
    ['no seeds', { seeds: [] }, 'expected different ones'],
    ['a seed twice', { seeds: [1, 1] }, 'got the seeds 1, 1'],
    ['no rates', { rates: [] }, 'expected different ones above 0'],
    ['a rate of 0', { rates: [0] }, 'got the rates 0'],
    ['a rate of 1', { rates: [0.5, 1] }, 'below 1'],
    ['a rate that is no number', { rates: [NaN] }, 'got the rates NaN'],
    ['nothing to cut', { targets: [] }, 'at least one kind'],
    ['one further epoch', { finetune: { epochs: 1 } }, 'expected at least 2: RSST divides them'],
    ['none', { methods: ['oneshot'], finetune: { epochs: 0 } }, 'expected at least 1. Raise'],
    [
      'no regularised epochs',
      { rsst: { epochs: 0 } },
      'got 0 regularised of 5 epochs, expected from 1 to 4',
    ],
    [
      'more plain epochs than epochs',
      { finetune: { epochs: 5, plainEpochs: 6 } },
      'got 6 plain epochs, expected at most 5',
    ],
    ['nothing left to fine-tune', { rsst: { epochs: 5 } }, 'expected from 1 to 4'],
  ])('refuses %s', (_, change, message) => {
    expect(() => {
      checkCompareSettings({ ...settings, ...change });
    }).toThrow(message);
  });

  it.each<[string, Partial<CompareSettings>]>([
    ['what makes a comparison', {}],
    [
      'one epoch where RSST has no part',
      { methods: ['oneshot', 'refill'], finetune: { epochs: 1 } },
    ],
  ])('takes %s', (_, change) => {
    expect(() => {
      checkCompareSettings({ ...settings, ...change });
    }).not.toThrow();
  });
});
