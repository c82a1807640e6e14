// docs/library.md prints it: cuts to what a model may cost.
import {
  benchModel,
  benchmarkModels,
  evaluateModel,
  openDatasetFor,
  openModel,
  pruneOneShot,
} from 'mamba-prune';
import { budgetTargets, measureSensitivity, ratesFromSensitivity } from 'mamba-prune/pruning';

const opened = await openModel('runs/dense');
const { model } = opened;
const dataset = await openDatasetFor(opened, 'folder', { dir: 'photos' });

// Units of all layers compete, until half of the multiply-accumulates and 70% of the parameters are left.
const { model: byScore, solution } = await pruneOneShot(model, {
  importance: 'l2',
  ranking: 'global',
  rates: { ssm: 0, mlp: 0 },
  costBudget: { macs: '0.5x', params: '0.7x' },
});
console.log(solution?.rates, solution?.targets);

// Each group is cut alone at some rates, and the loss that follows says what each can give.
const curves = await measureSensitivity(model, {
  importance: 'l2',
  rates: [0.3, 0.6],
  evaluate: (cut) => evaluateModel(cut, dataset, { images: 1000 }),
});
for (const { cost, limit } of budgetTargets(model, { macs: '0.5x' })) {
  const { rates } = ratesFromSensitivity(curves, { metric: 'macs', most: limit, costOf: cost });
  const { model: byLoss } = await pruneOneShot(model, {
    importance: 'l2',
    ranking: 'layer',
    rates: { ssm: 0, mlp: 0 },
    rateOf: rates,
  });
  const candidates = Object.entries({ dense: model, byScore, byLoss });
  const times = await benchmarkModels(
    candidates.map(([name, each]) => benchModel(name, each)),
    { batches: [1], rounds: 5 },
  );
  for (const { model: name, medianMs, speedup } of times)
    console.log(name, medianMs, speedup.median);
  byLoss.dispose();
}
byScore.dispose();
