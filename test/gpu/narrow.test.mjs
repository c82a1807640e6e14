// Blocks of a model that has been pruned: every width another, few of them a multiple of anything. The gradients of their
// weights are made together, and their weights are packed together where somebody keeps copies.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { F, manualSeed, randint, randn, scope } from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { createModelFromConfig } from 'mamba-prune/models';
import { weightCopies } from '../../packages/mamba-prune/dist/models/precision.js';
import { distance, gpu, skip } from './support.mjs';

// Channels and neurons of each block: below and above what a warp, a unit of weights and a tile of a product hold.
const widths = [
  [1, 3],
  [37, 77],
  [64, 128],
  [65, 129],
  [97, 391],
  [200, 250],
];

function makeModel(options) {
  manualSeed(4);
  const dense = createModel('mamba_small', { depth: widths.length, ...options });
  const groups = dense.pruningGroups();
  const of = (kind) => groups.filter((group) => group.kind === kind);
  const chosen = ['ssm', 'mlp'].flatMap((kind, at) =>
    of(kind).map(({ name }, block) => [name, widths[block][at]]),
  );
  return dense.withWidths(Object.fromEntries(chosen));
}

/** The gradients of all parameters, by name, and the logits. */
function evaluate(model, images, labels, copied = false) {
  const copies = copied ? weightCopies(model, 'bf16') : undefined;
  for (const parameter of model.parameters()) parameter.grad = null;
  const logits = model.forward(images);
  F.crossEntropy(F.atLeastFloat32(logits), labels).backward();
  copies?.dispose();
  const gradients = [...model.namedParameters()].map(([name, { grad }]) => [name, grad]);
  return new Map([['logits', logits], ...gradients]);
}

describe('a pruned model on a GPU', { skip }, () => {
  // Rows of a product: fewer than one step of it, more than one chunk of it for each multiprocessor, not whole steps.
  for (const [options, batch] of [
    [{}, 1],
    [{}, 37],
    [{ scan: 'bi' }, 5],
    [{ dModel: 128 }, 37],
    // No kernels of its own for the normalisations.
    [{ dModel: 72 }, 3],
  ]) {
    it(`trains ${JSON.stringify(options)} at batch ${batch} as the CPU does, and the same again`, () => {
      scope(() => {
        const onCpu = makeModel(options);
        const onGpu = createModelFromConfig(onCpu.config);
        onGpu.loadStateDict(onCpu.stateDict());
        onGpu.to(gpu);
        const [images, labels] = [randn([batch, 3, 32, 32]), randint(0, 10, [batch])];
        const expected = evaluate(onCpu, images, labels);
        const given = [images.to(gpu).to('bfloat16'), labels.to(gpu)];
        const [first, again] = [evaluate(onGpu, ...given), evaluate(onGpu, ...given)];
        const kept = evaluate(onGpu, ...given, true);
        let [apart, whole] = [0, 0];
        for (const [name, tensor] of expected) {
          assert.equal(distance(again.get(name), first.get(name)), 0, `${name} again`);
          if (name === 'logits') continue;
          const [size, off] = [
            tensor.to('float64').norm().item(),
            distance(first.get(name), tensor),
          ];
          apart += (off * size) ** 2;
          whole += size ** 2;
          // Numbers in the wrong places are as far apart as the whole; of a few numbers roundings may be.
          if (tensor.numel >= 64) assert.ok(off <= 0.5, `${name}: ${off}`);
          if (!name.startsWith('blocks.')) continue;
          // Packed at every use, or once: the same numbers.
          assert.equal(distance(kept.get(name), first.get(name)), 0, `${name} with copies`);
        }
        // Roundings of 2^-9 in every layer, as for whole models.
        const all = Math.sqrt(apart / whole);
        assert.ok(all <= 0.1, `gradients: ${all}`);
      });
    });
  }
});
