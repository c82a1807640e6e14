// What a comparison may be told beside rates and seeds: methods, learning rates, seeds of a rate, dense models.
import { describe, expect, it } from 'vitest';
import {
  type CompareRun,
  type CompareSettings,
  checkCompareSettings,
  planRuns,
} from './settings.js';
import { describe as inWords, headingOf, remarks } from './describe.js';
import { planTuning } from './tune.js';

const settings: CompareSettings = {
  train: {
    arch: 'mamba_nano',
    dataset: 'fashion-mnist',
    model: { depth: 2 },
    recipe: { epochs: 4, lr: 2e-3, warmupEpochs: 0.4, plainEpochs: 1, batchSize: 64 },
  },
  finetune: { epochs: 6, lr: 1e-3 },
  seeds: [0, 1],
  rates: [0.5, 0.7],
  targets: ['ssm', 'mlp'],
  cut: { importance: 'l1', ranking: 'global', normalize: 'mean', roundTo: 1, maxRate: 1 },
  refill: { fillback: 0.1, score: 'gradient', budget: 'keep' },
  rsst: { epochs: 2 },
  threads: 1,
};

const scratched: CompareSettings = {
  ...settings,
  methods: ['rsst', 'refill', 'oneshot', 'scratch', 'dense'],
};

const namesOf = (runs: readonly CompareRun[]): string[] => runs.map(({ name }) => name);

function runNamed(runs: readonly CompareRun[], name: string): CompareRun {
  const run = runs.find((found) => found.name === name);
  if (!run) throw new Error(`no run ${name} among ${namesOf(runs).join(', ')}`);
  return run;
}

describe('training from scratch', () => {
  const run = runNamed(planRuns(scratched, '/out'), 'seed-1/scratch-70');

  it('comes after the one-shot run of its seed and rate, whose widths it gets', () => {
    expect(run).toMatchObject({
      command: 'train',
      method: 'scratch',
      rate: 0.7,
      after: 'seed-1/oneshot-70',
    });
    expect(run.settings).not.toHaveProperty('widths');
  });

  it('has the dense recipe over the epochs of both trainings, with the same shares', () => {
    expect(run.epochs).toBe(10);
    expect(run.settings).toEqual({
      ...settings.train,
      // 0.4 and 1 of 4 epochs are 1 and 2.5 of 10.
      recipe: { epochs: 10, lr: 2e-3, warmupEpochs: 1, plainEpochs: 3, batchSize: 64, seed: 1 },
    });
  });

  it('is not compared unless it is asked for', () => {
    expect(namesOf(planRuns(settings, '/out')).filter((name) => name.includes('scratch'))).toEqual(
      [],
    );
  });
});

describe('one epoch', () => {
  it('is one in the words of a comparison', () => {
    const short = { ...settings, train: { ...settings.train, recipe: { epochs: 1 } } };
    expect(inWords(short)).toMatch(/; 1 epoch dense, then 6 for every method/);
    expect(headingOf(short).lines.join()).toMatch(/1 epoch dense/);
    const none = { ...settings, finetune: { ...settings.finetune, epochs: 1 } };
    expect(() => {
      checkCompareSettings(none);
    }).toThrow(/got 1 epoch after the dense training/);
  });
});

describe('the cached size of training images', () => {
  it('is that of every run', () => {
    const cached = { ...scratched, train: { ...scratched.train, cachedSize: 64 } };
    const runs = planRuns(cached, '/out');
    expect(new Set(runs.map(({ command }) => command))).toEqual(new Set(['train', 'prune']));
    for (const { name, settings: own } of runs) expect([name, own.cachedSize]).toEqual([name, 64]);
  });
});

describe('a learning rate of a method', () => {
  it('is that of its runs alone', () => {
    const runs = planRuns({ ...scratched, lrOf: { refill: 4e-3, scratch: 5e-3 } }, '/out');
    const rates = runs
      .filter(({ seed }) => seed === 0)
      .slice(0, 6)
      .map(({ name, settings: { recipe } }) => [name, recipe.lr]);
    expect(rates).toEqual([
      ['seed-0/base', 2e-3],
      ['seed-0/dense', 1e-3],
      ['seed-0/scratch-50', 5e-3],
      ['seed-0/oneshot-50', 1e-3],
      ['seed-0/refill-50', 4e-3],
      ['seed-0/rsst-50', 1e-3],
    ]);
  });

  it('is tried out for every method alike, from one dense model', () => {
    const tuned = { ...scratched, seeds: [99], rates: [0.7], lrs: [1e-3, 4e-3] };
    const runs = planTuning(tuned, '/out/tune');
    expect(runs.map(({ name, settings: { recipe } }) => [name, recipe.lr])).toEqual([
      ['seed-99/base', 2e-3],
      ...[1e-3, 4e-3].flatMap((lr) =>
        ['dense', 'scratch-70', 'oneshot-70', 'refill-70', 'rsst-70'].map((name) => [
          `seed-99/${name}-lr-${lr}`,
          lr,
        ]),
      ),
    ]);
    expect(runNamed(runs, 'seed-99/scratch-70-lr-0.004')).toMatchObject({
      after: 'seed-99/oneshot-70-lr-0.004',
    });
    expect(runNamed(runs, 'seed-99/rsst-70-lr-0.004')).toMatchObject({ after: 'seed-99/base' });
  });
});

describe('seeds of a rate', () => {
  it('are its own, with a dense model for every seed that some rate has', () => {
    const runs = planRuns({ ...settings, seedsAt: [{ rate: 0.7, seeds: [0, 1, 2] }] }, '/out');
    expect(namesOf(runs).filter((name) => name.startsWith('seed-2'))).toEqual([
      'seed-2/base',
      'seed-2/dense',
      'seed-2/oneshot-70',
      'seed-2/refill-70',
      'seed-2/rsst-70',
    ]);
    expect(namesOf(runs).filter((name) => name.endsWith('refill-50'))).toHaveLength(2);
  });
});

describe('given dense models', () => {
  const [a, b] = [
    { path: '/models/a.safetensors', sha256: 'aa' },
    { path: '/models/b.safetensors', sha256: 'bb' },
  ];

  it('take the place of the trained ones, one for all seeds or one for each', () => {
    for (const [dense, expected] of [
      [[a], [a, a]],
      [
        [a, b],
        [a, b],
      ],
    ] as const) {
      const runs = planRuns({ ...settings, dense }, '/out');
      expect(namesOf(runs).some((name) => name.endsWith('base'))).toBe(false);
      for (const [seed, { path, sha256 }] of expected.entries()) {
        const run = runNamed(runs, `seed-${seed}/refill-70`);
        expect(run).toMatchObject({ source: sha256, settings: { model: path } });
        expect(run).not.toHaveProperty('after');
      }
    }
  });

  it('teach where a teacher is asked for, all methods that begin with them', () => {
    const distill = { weight: 0.5, temperature: 2 };
    const runs = planRuns({ ...scratched, dense: [a], distill }, '/out');
    expect(runs.filter(({ settings: told }) => 'distill' in told)).toHaveLength(2 * (1 + 2 * 3));
    expect(runNamed(runs, 'seed-0/dense').settings).toMatchObject({ distill });
    expect(runNamed(runs, 'seed-0/scratch-50').settings).not.toHaveProperty('distill');
  });
});

describe('the heading of a picture', () => {
  it('names the folder that images are in, for the data set folder has no other name', () => {
    const train = { ...settings.train, dataset: 'folder', data: 'data/flowers/' };
    expect(headingOf({ ...settings, train }).title).toMatch(/ on folder flowers$/);
    const named = { ...train, dataset: 'cifar10', data: 'data' };
    expect(headingOf({ ...settings, train: named }).title).toMatch(/ on cifar10$/);
  });
});

describe('remarks', () => {
  const ofRefill = (changes: Partial<CompareSettings>): string[] =>
    remarks({ ...settings, ...changes }).filter((remark) => remark.includes('Refill keeps'));

  it('say where the first cut of Refill decides less than half of what stays', () => {
    expect(ofRefill({ rates: [0.95, 0.8, 0.9] })).toEqual([
      'At 90% and 95% removed more than half of the units that Refill keeps came back (fillback 0.1), chosen in a model of which ' +
        'the first cut had left little. A fillback of 0.025 lets the first cut choose half.',
    ]);
    expect(ofRefill({ rates: [0.5, 0.7, 0.8] })).toEqual([]);
    expect(ofRefill({ rates: [0.9], methods: ['oneshot', 'rsst'] })).toEqual([]);
    expect(ofRefill({ rates: [0.9], refill: { ...settings.refill, budget: 'add' } })).toEqual([]);
  });
});

describe('checkCompareSettings', () => {
  it.each<[string, Partial<CompareSettings>, RegExp]>([
    [
      'a method that there is not',
      { methods: ['lottery' as 'rsst'] },
      /method "lottery", expected some of dense, scratch/,
    ],
    ['a method twice', { methods: ['rsst', 'rsst'] }, /methods rsst, rsst, expected different/],
    ['no method', { methods: [] }, /methods \(none\)/],
    [
      'nothing but the dense model',
      { methods: ['dense'] },
      /one at least that makes a smaller model/,
    ],
    [
      'scratch without the cut whose widths it has',
      { methods: ['scratch', 'refill'] },
      /Add oneshot to `methods`/,
    ],
    [
      'the rate of a method that is not compared',
      { lrOf: { scratch: 1e-3 } },
      /learning rate of scratch, expected one of a method that is compared/,
    ],
    ['a rate of 0', { lrOf: { refill: 0 } }, /got 0 as the learning rate of refill/],
    [
      'a rate that is no number',
      { lrOf: { refill: NaN } },
      /got NaN as the learning rate of refill/,
    ],
    ['one rate to choose from', { lrs: [1e-3] }, /to choose from, expected two different ones/],
    ['the same rate twice', { lrs: [1e-3, 1e-3] }, /expected two different ones/],
    [
      'seeds at a rate that is not compared',
      { seedsAt: [{ rate: 0.9, seeds: [0] }] },
      /seeds at the rate 0\.9, expected one that is compared: rate 0\.5, rate 0\.7\. Change `seedsAt`/,
    ],
    [
      'no seeds at a rate',
      { seedsAt: [{ rate: 0.7, seeds: [] }] },
      /seeds \(none\) at the rate 0\.7/,
    ],
    [
      'a rate twice',
      {
        seedsAt: [
          { rate: 0.7, seeds: [0] },
          { rate: 0.7, seeds: [1] },
        ],
      },
      /0\.7 twice/,
    ],
    [
      'more dense models than seeds',
      { dense: ['a', 'b', 'c'].map((name) => ({ path: name, sha256: name })) },
      /3 dense models for 2 seeds, expected one for all, or one for each/,
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => {
      checkCompareSettings({ ...settings, ...change });
    }).toThrow(message);
  });
});
