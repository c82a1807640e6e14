// Inputs that begin anywhere in memory, as views do, on a GPU whose kernels move 16 bytes at once: the operators give the same
// bits as for tensors of their own. Packed matrices stay where they are: cuBLASLt chooses its algorithms by where those begin.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noGrad, nn, randn, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { distance, gpu, skip } from './support.mjs';

const made = (scale, ...shape) => randn(shape, { device: gpu }).mul(scale);
const sizes = { dModel: 192, dInner: 64, dState: 16, dtRank: 8, neurons: 64 };

/** The same numbers, one element behind where 16 bytes begin. */
function moved(tensor) {
  const elements = tensor.shape.reduce((product, size) => product * size, 1);
  const room = randn([elements + 1], { device: gpu }).to(tensor.dtype);
  const view = room.narrow(0, 1, elements);
  noGrad(() => view.copy_(tensor.detach().view(-1)));
  return view.view(...tensor.shape);
}
const kept = (tensor) => tensor.clone();

function weightsOf({ dModel, dInner, dState, dtRank, neurons }) {
  return {
    norm: { weight: made(0.1, dModel).add(1), bias: made(0.1, dModel), eps: 1e-5 },
    ssm: [
      ...[made(0.1, 2 * dInner, dModel), made(0.1, dModel, dInner), made(0.5, dInner, 1, 4)],
      ...[made(0.1, dInner), made(0.1, dtRank + 2 * dState, dInner), made(0.3, dInner, dtRank)],
      ...[made(0.1, dInner), made(0.5, dInner, dState), made(0.1, dInner)],
    ],
    mlp: [
      made(0.1, neurons, dModel),
      made(0.1, neurons),
      made(0.1, dModel, neurons),
      made(0.1, dModel),
    ],
  };
}

/** The result and all gradients of a branch whose inputs `place` has put somewhere. */
function trained(branch, place, dtype, { x, norm, weights, matrices, gradient }) {
  const leaf = (tensor) => {
    const placed = place(tensor).detach();
    placed.requiresGrad = true;
    return placed;
  };
  const input = leaf(x.to(dtype));
  const placedNorm = { ...norm, weight: leaf(norm.weight), bias: leaf(norm.bias) };
  const own = weights.map(leaf);
  const packed = matrices.map((i) => weights[i].to(dtype));
  const out = branch(input, placedNorm, { weights: own, packed });
  // A gradient that begins anywhere: that of a view of a larger result.
  out.backward(place(gradient.to(dtype)));
  const leaves = [input, placedNorm.weight, placedNorm.bias, ...own];
  return [out, ...leaves.map(({ grad }) => grad)];
}

describe('views that begin anywhere on a GPU', { skip }, () => {
  for (const dtype of ['float32', 'bfloat16']) {
    for (const [name, matrices] of [
      ['ssm', [0, 1, 4, 5]],
      ['mlp', [0, 1, 2, 3]],
    ]) {
      it(`give the results and gradients of the ${name} branch in ${dtype}`, () => {
        scope(() => {
          const { norm, ...all } = weightsOf(sizes);
          const [x, gradient] = [made(1, 3, 17, sizes.dModel), made(1, 3, 17, sizes.dModel)];
          const given = { x, norm, weights: all[name], matrices, gradient };
          const branch = name === 'ssm' ? kernels.ssmBranch : kernels.mlpBranch;
          const [expected, got] = [kept, moved].map((place) =>
            trained(branch, place, dtype, given),
          );
          for (const [i, tensor] of expected.entries())
            assert.equal(distance(got[i], tensor), 0, `${i}`);
        });
      });
    }
  }

  it('give the results of the operators for all blocks', (t) => {
    scope(() =>
      noGrad(() => {
        const x = made(1, 2, 64, sizes.dModel).to('bfloat16');
        if (!kernels.hasFusedBlocks(x, sizes.dModel)) {
          t.skip('no GPU of compute capability 9.0');
          return;
        }
        const { ssm, mlp } = weightsOf(sizes);
        const norm = () => new nn.LayerNorm(sizes.dModel).to(gpu);
        const block = (place) => ({
          norm1: norm(),
          ssm: {
            weights: ssm.map(place),
            packed: [0, 1, 4, 5].map((i) => ssm[i].to('bfloat16')),
          },
          norm2: norm(),
          mlp: {
            weights: mlp.map(place),
            packed: mlp.map((weight) => weight.to('bfloat16')),
          },
        });
        const run = (place) => {
          const blocks = [block(place), block(place)];
          const units = blocks.map((each, i) => place(kernels.packUnits(each, blocks[i + 1])));
          const layout = { cluster: 8, groups: 1 };
          const stack = kernels.packCluster(blocks, layout, x);
          return [
            kernels.mambaBlocks(place(x), blocks, units),
            kernels.clusterBlocks(place(x), { ...stack, weights: place(stack.weights) }),
          ];
        };
        const [expected, got] = [run(kept), run(moved)];
        for (const [i, tensor] of expected.entries())
          assert.equal(distance(got[i], tensor), 0, `${i}`);
      }),
    );
  });
});
