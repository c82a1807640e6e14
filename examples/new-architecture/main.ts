// A new architecture, declared in mlp-mixer.ts, under every method of the library, none of which knows it.
// Run: npm run build && node examples/dist/new-architecture/main.js
import { strict as assert } from 'node:assert';
import { manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import { calibrationOf, maskModel, pruneModel, pruneOneShot, pruneWithRefill } from 'mamba-prune';
import { doomedUnits, rsstHooks } from 'mamba-prune/pruning';
import { accuracyOf, percent, side, stripes, trainBriefly } from '../shared/stripes.js';
import { MlpMixer } from './mlp-mixer.js';

const dataset = stripes();
manualSeed(0);
const config = {
  ...{ family: 'mixer', arch: 'mixer_nano', imageSize: side, channels: 1, numClasses: 3 },
  ...{ patchSize: 3, dModel: 32, depth: 2, widths: {} },
};
const dense = new MlpMixer(config);
await trainBriefly(dense, dataset, { epochs: 6 });
console.log(`dense: ${percent(await accuracyOf(dense, dataset))}`);

// The one promise that a declaration makes: a model without some units computes what the model with these
// units masked computes. Checked for each group by itself.
const images = randn([4, 1, side, side]);
for (const { name, size } of dense.pruningGroups()) {
  const kept = new Map([[name, Array.from({ length: size / 2 }, (_, i) => 2 * i)]]);
  const masked = dense.withWidths({});
  masked.loadStateDict(dense.stateDict());
  maskModel(masked, kept);
  const difference = scope(() =>
    noGrad(() => {
      const cut = pruneModel(dense, kept).eval();
      return cut.forward(images).sub(masked.eval().forward(images)).abs().amax().item();
    }),
  );
  // Sums of a few dozen float32 products in another order.
  assert.ok(difference < 1e-5, `${name}: the masked model differs by ${difference}`);
}
console.log('every group: cut and masked agree');

const rates = { mix: 0.5, mlp: 0.5 };
const cut = { rates, importance: 'taylor', ranking: 'global' } as const;
const calibration = calibrationOf(dataset, { batches: 4, seed: 0, device: 'cpu' });
const oneShot = await pruneOneShot(dense, cut, calibration);
const refilled = await pruneWithRefill(
  dense,
  { ...cut, fillback: 0.2, refillScore: 'gradient', budget: 'keep' },
  calibration,
);
assert.equal(refilled.model.numParameters(), oneShot.model.numParameters());
for (const [name, { model }] of Object.entries({ oneShot, refilled })) {
  const before = await accuracyOf(model, dataset);
  await trainBriefly(model, dataset, { epochs: 2, lr: 1e-3 });
  const after = await accuracyOf(model, dataset);
  console.log(`${name}: ${percent(before)} at the cut, ${percent(after)} after fine-tuning`);
  assert.ok(after > 0.85);
}

const units = doomedUnits(dense.pruningGroups(), oneShot.kept);
const strength = { schedule: 'x^2', strength: 1000, norm: 'group', apply: 'proximal' } as const;
const hooks = rsstHooks(dense, dense.pruningGroups(), {
  ...strength,
  targets: ['mix', 'mlp'],
  units,
});
await trainBriefly(dense, dataset, { epochs: 4, lr: 1e-3 }, hooks);
const before = await accuracyOf(dense, dataset);
const after = await accuracyOf(pruneModel(dense, oneShot.kept), dataset);
console.log(`rsst: ${percent(before)} before the cut, ${percent(after)} after it`);
assert.ok(Math.abs(before - after) < 0.01);
