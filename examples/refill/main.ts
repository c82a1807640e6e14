// Refill: cut too deep, then give back the units that the remaining ones miss most. Ends at the same size
// as plain pruning, with other units. Run: npm run build && node examples/dist/refill/main.js
import { strict as assert } from 'node:assert';
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import {
  type KeptUnits,
  calibrationOf,
  createModel,
  inspectModel,
  pruneOneShot,
  pruneWithRefill,
} from 'mamba-prune';
import { accuracyOf, percent, side, stripes, trainBriefly } from '../shared/stripes.js';

const dataset = stripes();
manualSeed(0);
const dense = createModel('mamba_nano', {
  dModel: 32,
  depth: 2,
  dState: 4,
  patchSize: 3,
  imageSize: side,
  channels: 1,
  numClasses: 3,
});
await trainBriefly(dense, dataset, { epochs: 4 });
console.log(`dense: ${percent(await accuracyOf(dense, dataset))}`);

// Real images, which the gradients of the gates are measured on.
const images = calibrationOf(dataset, { batches: 4, seed: 0, device: 'cpu' });
const cut = { rates: { ssm: 0.85, mlp: 0.85 }, importance: 'l1', ranking: 'global' } as const;

const oneShot = await pruneOneShot(dense, cut);
const refilled = await pruneWithRefill(
  dense,
  { ...cut, fillback: 0.05, refillScore: 'gradient', budget: 'keep' },
  images,
);

const count = (units: KeptUnits): number =>
  [...units.values()].reduce((sum, list) => sum + list.length, 0);
console.log(
  `one-shot keeps ${count(oneShot.kept)} units; Refill keeps ${count(refilled.selected)} and gives back ` +
    `${count(refilled.returned)}`,
);
assert.equal(count(refilled.kept), count(oneShot.kept));
assert.equal(count(refilled.selected) + count(refilled.returned), count(refilled.kept));
assert.deepEqual(inspectModel(refilled.model).macs, inspectModel(oneShot.model).macs);
assert.notDeepEqual([...refilled.kept], [...oneShot.kept]);

for (const [name, { model }] of Object.entries({ oneShot, refilled })) {
  const atTheCut = await accuracyOf(model, dataset);
  await trainBriefly(model, dataset, { epochs: 2, lr: 1e-3 });
  const after = await accuracyOf(model, dataset);
  console.log(`${name}: ${percent(atTheCut)} at the cut, ${percent(after)} after fine-tuning`);
  assert.ok(after > 0.85, `${name} learns the stripes again`);
}

// The two ends: f = 0 is plain pruning, f = 1 the dense model.
const none = await pruneWithRefill(dense, { ...cut, fillback: 0 });
assert.deepEqual([...none.kept], [...oneShot.kept]);
const all = await pruneWithRefill(dense, { ...cut, fillback: 1 });
const some = randn([2, 1, side, side]);
noGrad(() => {
  assert.ok(all.model.eval().forward(some).equal(dense.eval().forward(some)));
});
console.log('fillback 0 is one-shot pruning, fillback 1 the dense model');
