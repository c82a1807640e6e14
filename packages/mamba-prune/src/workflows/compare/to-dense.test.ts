// Differences to the dense model where rates have different numbers of seeds, or runs are still missing.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { markdown } from './report.js';
import type { RunResult } from './outcomes.js';
import { type CompareResults, readResults } from './results.js';
import type { CompareSettings } from './settings.js';
import { toDense } from './to-dense.js';

const earlier = new URL('../../fixtures/earlier/compared/results.json', import.meta.url);
const { settings } = JSON.parse(readFileSync(earlier, 'utf8')) as { settings: CompareSettings };

const run = (
  method: RunResult['method'],
  rate: number,
  seed: number,
  accuracy: number,
): RunResult => ({
  method,
  rate,
  seed,
  accuracy,
  run: `seed-${seed}/${method}`,
  beforeCut: 0.5,
  afterCut: 0.5,
  parameters: 10,
  macs: 10,
});

/** The dense model of the seed that 50% does not have is much worse. */
const runs = [
  ...[0.9, 0.8, 0.1].map((accuracy, seed) => run('dense', 0, seed, accuracy)),
  ...[0.89, 0.79].map((accuracy, seed) => run('oneshot', 0.5, seed, accuracy)),
];
const of = (method: RunResult['method'], rate: number, seeds: number[], accuracy: number) => ({
  method,
  rate,
  seeds,
  accuracy,
  deviation: null,
  beforeCut: null,
  afterCut: null,
  parameters: 10,
  macs: 10,
});
const results: CompareResults = {
  ...readResults(settings, [], '/none'),
  methods: [of('dense', 0, [0, 1, 2], 0.6), of('oneshot', 0.5, [0, 1], 0.84)],
  runs,
};

it('is over the seeds that both have', () => {
  const row = markdown(settings, results, '')
    .split('\n')
    .find((line) => line.startsWith('| one-shot | 50%'));
  expect(row).toContain('| 2 | -1.00 |');
});

it('says nothing of the dense model itself, nor where no seed has both', () => {
  expect(toDense({ method: 'dense', rate: 0 }, results)).toBeUndefined();
  const others = { runs: [run('dense', 0, 0, 0.9), run('oneshot', 0.5, 1, 0.8)] };
  expect(toDense({ method: 'oneshot', rate: 0.5 }, others)).toBeUndefined();
});
