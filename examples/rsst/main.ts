// RSST: choose the units that are to go, drive them to zero while the model trains, then cut: the cut costs
// next to nothing. Run: npm run build && node examples/dist/rsst/main.js
import { strict as assert } from 'node:assert';
import { manualSeed } from '@mamba-prune/libtorch';
import { createModel, pruneModel } from 'mamba-prune';
import {
  chooseUnits,
  doomedUnits,
  readUnitNorms,
  rsstHooks,
  unitsByNorm,
} from 'mamba-prune/pruning';
import { accuracyOf, percent, side, stripes, trainBriefly } from '../shared/stripes.js';

const dataset = stripes();
manualSeed(0);
const model = createModel('mamba_nano', {
  dModel: 32,
  depth: 2,
  dState: 4,
  patchSize: 3,
  imageSize: side,
  channels: 1,
  numClasses: 3,
});
await trainBriefly(model, dataset, { epochs: 4 });
console.log(`dense: ${percent(await accuracyOf(model, dataset))}`);

const rates = { ssm: 0.85, mlp: 0.85 };
const cut = { rates, ranking: 'global' } as const;
const groups = model.pruningGroups();
const wanted = await chooseUnits(model, { ...cut, importance: 'l1' });
const sudden = await accuracyOf(pruneModel(model, wanted), dataset);

// The penalty grows with the fourth power of the progress; the optimizer sees the task alone, and the
// doomed units shrink after each of its steps. These are few: they need a stronger pull than the default.
const regularizer = rsstHooks(model, groups, {
  schedule: 'exp_custom_exponents',
  strength: 10_000,
  exponent: 4,
  norm: 'group',
  apply: 'proximal',
  targets: Object.keys(rates),
  units: doomedUnits(groups, wanted),
});
await trainBriefly(
  model,
  dataset,
  { epochs: 4, lr: 1e-3 },
  {
    ...regularizer,
    onEpoch: (line) => {
      const { ssm, mlp } = readUnitNorms(line)?.kinds ?? {};
      const shares = [ssm, mlp].map((kind) => percent(kind?.doomedShare ?? NaN));
      console.log(`epoch ${line.epoch}: doomed units have ${shares.join(' and ')} of the norm`);
      // Under 1% of the norm when the training ends.
      if (line.epoch === 4) assert.ok([ssm, mlp].every((kind) => (kind?.doomedShare ?? 1) < 0.01));
    },
  },
);

// What was driven to zero is what goes.
const kept = unitsByNorm(model, model.pruningGroups(), { ...cut, norm: 'group' });
assert.deepEqual([...kept].sort(), [...wanted].sort());
const before = await accuracyOf(model, dataset);
const pruned = pruneModel(model, kept);
const after = await accuracyOf(pruned, dataset);
console.log(`a sudden cut of the dense model: ${percent(sudden)}`);
console.log(`after RSST: ${percent(before)} before the cut, ${percent(after)} after it`);
assert.ok(Math.abs(before - after) < 0.01, 'the cut costs less than a point');
assert.ok(pruned.numParameters() < model.numParameters() / 2);
