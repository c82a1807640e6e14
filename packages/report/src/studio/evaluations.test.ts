import { beforeEach, describe, expect, it, vi } from 'vitest';
import { evaluateRuns } from '../images/evaluate-runs.js';
import type { EvaluationData } from '../page-data/evaluation.js';
import type { RunData } from '../page-data/run.js';
import { Evaluations } from './evaluations.js';

vi.mock('../images/evaluate-runs.js', () => ({
  evaluateRuns: vi.fn(),
  isAboutData: () => false,
}));

const evaluate = vi.mocked(evaluateRuns);
const evaluation = { images: 1 } as unknown as EvaluationData;
const run = (id: string): RunData => ({ id, state: 'finished' }) as unknown as RunData;

describe('evaluations of the studio', () => {
  beforeEach(() => {
    evaluate.mockReset();
  });

  it('are made once for the same models, however many pages ask', async () => {
    evaluate.mockResolvedValue(evaluation);
    const evaluations = new Evaluations({});
    const both = await Promise.all([evaluations.of([run('a')]), evaluations.of([run('a')])]);
    expect(both).toEqual([
      { evaluation, notes: [] },
      { evaluation, notes: [] },
    ]);
    await evaluations.of([run('a')]);
    expect(evaluate).toHaveBeenCalledTimes(1);
    await evaluations.of([run('a'), run('b')]);
    expect(evaluate).toHaveBeenCalledTimes(2);
  });

  it('are tried again after they failed', async () => {
    evaluate.mockRejectedValueOnce(new Error('no memory')).mockResolvedValue(evaluation);
    const evaluations = new Evaluations({});
    await expect(evaluations.of([run('a')])).rejects.toThrow('no memory');
    expect(await evaluations.of([run('a')])).toEqual({ evaluation, notes: [] });
  });
});
