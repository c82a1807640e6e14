// The statistics of comparisons against SciPy, where there is a Python that has it.
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  pairedTest,
  studentOutside,
  studentQuantile,
} from '../packages/mamba-prune/src/workflows/compare/statistics.js';
import { pythonWith, unlessPython } from './support/python.js';

const python = pythonWith('scipy.stats');

const script = `
import json, sys
import numpy as np
from scipy import stats
rng, cases = np.random.default_rng(5), []
for n in range(60):
    pairs = int(rng.integers(2, 12))
    a = rng.normal(0.7, 0.02, pairs)
    b = a + rng.normal(0.01 * (n % 4), 0.01, pairs)
    t, p = stats.ttest_rel(a, b)
    cases.append(dict(a=a.tolist(), b=b.tolist(), t=float(t), p=float(p),
                      tail=float(2 * stats.t.sf(abs(t), pairs - 1))))
outside = [float(2 * stats.t.sf(t, n + 1)) for n, t in enumerate(json.loads(sys.argv[1]))]
print(json.dumps(dict(cases=cases, outside=outside)))
`;

interface Case {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly t: number;
  readonly p: number;
  readonly tail: number;
}

interface Answer {
  readonly cases: readonly Case[];
  readonly outside: readonly number[];
}

describe('the paired test', () => {
  it.skipIf(python === undefined)(
    `has SciPy's t, p and quantiles${unlessPython(python, 'scipy')}`,
    () => {
      // SciPy finds quantiles to nine digits only: it is asked how much of the distribution lies outside of ours.
      const quantiles = Array.from({ length: 30 }, (_, i) => studentQuantile(0.95, i + 1));
      const args = ['-c', script, JSON.stringify(quantiles)];
      const answer = execFileSync(python ?? '', args, { encoding: 'utf8' });
      const { cases, outside } = JSON.parse(answer) as Answer;
      for (const share of outside) expect(share / 0.05).toBeCloseTo(1, 11);
      expect(cases).toHaveLength(60);
      for (const { a, b, t, p, tail } of cases) {
        const own = pairedTest(a, b);
        // Differences of 0.01 between numbers of 0.7 lose two of sixteen digits, and their spread as many again.
        expect((own.t ?? NaN) / t).toBeCloseTo(1, 9);
        expect((own.p ?? NaN) / p).toBeCloseTo(1, 8);
        expect(studentOutside(t, a.length - 1) / tail).toBeCloseTo(1, 10);
      }
    },
    120_000,
  );
});
