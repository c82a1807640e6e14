// For tests: what a comparison of three seeds leaves, without its runs.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const seeds = [0, 1, 2];
const rates = [0.5, 0.7];

/** Of a method, per seed. */
const accuracies: Readonly<Record<string, readonly number[]>> = {
  dense: [0.9, 0.91, 0.92],
  oneshot: [0.7, 0.75, 0.74],
  refill: [0.8, 0.83, 0.82],
  rsst: [0.81, 0.82, 0.83],
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const cost = (rate: number) => ({ parameters: 1e6 * (1 - rate), macs: 1e7 * (1 - rate) });

const test = (methods: readonly [string, string], rate: number, p: number) => ({
  methods,
  rate,
  pairs: 3,
  difference: -0.01,
  t: -2.5,
  p,
  interval: [-0.03, 0.01],
  confidence: 0.95,
});

/** Writes results.json and compare.json, as `mamba-prune compare` does. */
export function writeSmallComparison(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const methods = Object.entries(accuracies).flatMap(([method, values]) =>
    (method === 'dense' ? [0] : rates).map((rate) => ({
      method,
      rate,
      seeds,
      accuracy: mean(values),
      deviation: 0.01,
      beforeCut: 0.9,
      afterCut: 0.4,
      ...cost(rate),
    })),
  );
  const runs = methods.flatMap(({ method, rate }) =>
    seeds.map((seed) => ({
      method,
      rate,
      seed,
      run: `seed-${seed}/${method}-${100 * rate}`,
      accuracy: accuracies[method]?.[seed],
      ...cost(rate),
    })),
  );
  const results = {
    kind: 'mamba-prune comparison results',
    done: runs.length,
    planned: runs.length + 3,
    methods,
    runs,
    tests: rates.map((rate) => test(['refill', 'rsst'], rate, 0.4)),
    baselineTests: rates.map((rate) => test(['oneshot', 'rsst'], rate, 0.01)),
    settings: {
      cut: {
        rateOf: { 'blocks.1.ssm': 0.25, 'blocks.0.ssm': 0, 'blocks.0.mlp': 0 },
        compensate: {},
      },
      train: { arch: 'mamba_nano', dataset: 'folder', recipe: { epochs: 3 } },
      finetune: { epochs: 2 },
      rsst: { epochs: 1 },
      targets: ['ssm', 'mlp'],
      seeds,
    },
  };
  writeFileSync(join(folder, 'results.json'), JSON.stringify(results));
  const args = [['compare', '--quick', '--out', 'a b']];
  writeFileSync(join(folder, 'compare.json'), JSON.stringify({ args, cwd: '/work' }));
}
