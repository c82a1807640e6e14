import { quickstartPreset } from '../quickstart.js';
import type { CompareRequest } from './compare.js';
import type { CompareSettings } from './settings.js';

const { train, finetune } = quickstartPreset;
const epochs = { dense: 4, further: 4, regularized: 2 } as const;

/**
 * Purpose: the four methods on the model and the images of the quickstart, with a few epochs each.
 * Expected: about 6 minutes a seed on 2 cores. docs/results/methods-compared.md has the outcome.
 */
export const quickComparison: CompareRequest & Pick<CompareSettings, 'rates' | 'seedsAt'> = {
  train: {
    ...train,
    recipe: { ...train.recipe, epochs: epochs.dense, warmupEpochs: epochs.dense / 10 },
  },
  finetune: { ...finetune, epochs: epochs.further, warmupEpochs: epochs.further / 10 },
  seeds: [0, 1, 2],
  rates: [0.7],
  cut: { importance: 'l1', ranking: 'global', normalize: 'mean', roundTo: 1, maxRate: 1 },
  // Under `keep` only the gradient says anything that the first cut did not know.
  refill: { score: 'gradient', budget: 'keep' },
  rsst: {
    epochs: epochs.regularized,
    units: 'doomed',
    norm: 'group',
    apply: 'proximal',
    strength: 1000,
  },
};
