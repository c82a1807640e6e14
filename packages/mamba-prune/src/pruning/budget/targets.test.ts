import { describe, expect, it } from 'vitest';
import { inspectModel } from '../../models/inspect.js';
import { pruneOneShot } from '../oneshot.js';
import { pruneWithRefill } from '../refill.js';
import { scoreUnits } from '../score-units.js';
import { solveBudget } from '../select-kinds.js';
import { smallMamba } from '../testing/models.js';
import { budgetTargets } from './targets.js';

describe('the targets of a budget', () => {
  it('are what a cut of the library keeps to', async () => {
    const model = smallMamba();
    const { macs, parameters } = inspectModel(model);
    const targets = budgetTargets(model, { macs: '0.5x', params: 0.6 * parameters });
    expect(targets.map(({ name, limit }) => [name, limit])).toEqual([
      ['MACs', 0.5 * macs],
      ['parameters', 0.6 * parameters],
    ]);
    const cut = {
      rates: { ssm: 0, mlp: 0 },
      ranking: 'global',
      costBudget: { targets },
    } as const;
    const results = [
      await pruneOneShot(model, cut),
      await pruneWithRefill(model, { ...cut, fillback: 0.3 }),
      await pruneWithRefill(model, { ...cut, fillback: 0.3, budget: 'keep' }),
      await pruneOneShot(model, { ...cut, rankBy: 'score-per-cost' }),
      // By MACs, where there is no budget.
      await pruneOneShot(model, {
        rates: { ssm: 0.7, mlp: 0.7 },
        ranking: 'global',
        rankBy: 'score-per-cost',
      }),
    ];
    for (const { model: pruned } of results) {
      const after = inspectModel(pruned);
      expect(after.macs).toBeLessThanOrEqual(0.5 * macs);
      expect(after.parameters).toBeLessThanOrEqual(0.6 * parameters);
      pruned.dispose();
    }
    model.dispose();
  });

  it('solve for scores that are there', async () => {
    const model = smallMamba();
    const groups = model.pruningGroups().filter(({ kind }) => kind === 'mlp');
    const scores = await scoreUnits(model, groups, { importance: 'l1' });
    const { kept, solution } = solveBudget(groups, scores, {
      rates: { mlp: 0 },
      ranking: 'layer',
      costBudget: { targets: budgetTargets(model, { file: '0.8x' }) },
    });
    const [file] = solution.targets;
    expect(file?.reached).toBeLessThanOrEqual(file?.limit ?? 0);
    // 33 numbers of four bytes: d_model 16, and a bias.
    expect((file?.limit ?? 0) - (file?.reached ?? 0)).toBeLessThan(4 * 33 + 8);
    expect(kept.get('blocks.0.mlp')).toHaveLength(solution.counts.get('blocks.0.mlp') ?? 0);
    model.dispose();
  });

  it('refuse amounts that are none', () => {
    const model = smallMamba();
    expect(() => budgetTargets(model, {})).toThrow('budget: got no amount');
    expect(() => budgetTargets(model, { macs: '-1x' })).toThrow(
      "budget: MACs: got '-1x', expected a number above 0, or a share of the model such as 0.3x",
    );
    expect(() => budgetTargets(model, { params: Infinity })).toThrow('parameters: got Infinity');
    model.dispose();
  });
});
