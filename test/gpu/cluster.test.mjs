// All blocks of a vision Mamba in one launch, an image a cluster of multiprocessors, against the operators of a block's
// branches in float32, which kernels.test.mjs and models.test.mjs hold against the CPU; and whole models that use it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CudaGraph, F, manualSeed, nn, noGrad, randn, scope, zeros } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { createModel } from 'mamba-prune';
import { createModelFromConfig } from 'mamba-prune/models';
import { weightCopies } from '../../packages/mamba-prune/dist/models/precision.js';
import { distance, gpu, skip } from './support.mjs';

const dense = { dModel: 192, dInner: 384, dState: 16, dtRank: 12, dConv: 4, neurons: 768 };
const pruned = { ...dense, dInner: 115, neurons: 230 };

function blockOf({ dModel, dInner, dState, dtRank, dConv, neurons }, reorder) {
  const random = (shape, scale, shift = 0) => randn(shape).mul(scale).add(shift).to(gpu);
  const norm = () => {
    const layer = new nn.LayerNorm(dModel).to(gpu);
    noGrad(() => {
      layer.weight.copy_(random([dModel], 0.1, 1));
      layer.bias.copy_(random([dModel], 0.1));
    });
    return layer;
  };
  const ssm = [
    random([2 * dInner, dModel], dModel ** -0.5),
    random([dModel, dInner], dInner ** -0.5),
    random([dInner, 1, dConv], 0.5),
    random([dInner], 0.1),
    random([dtRank + 2 * dState, dInner], dInner ** -0.5),
    random([dInner, dtRank], 0.3),
    random([dInner], 0.5, -3),
    random([dInner, dState], 0.7, 1.5),
    random([dInner], 1),
  ];
  const mlp = [
    random([neurons, dModel], dModel ** -0.5),
    random([neurons], 0.1),
    random([dModel, neurons], neurons ** -0.5),
    random([dModel], 0.1),
  ];
  const [inProj, outProj, , , xProj, dtProj] = ssm;
  return {
    reorder,
    norm1: norm(),
    ssm: { weights: ssm, packed: [inProj, outProj, xProj, dtProj] },
    norm2: norm(),
    mlp: { weights: mlp, packed: mlp },
  };
}

const layouts = [
  { cluster: 16, groups: 1 },
  { cluster: 16, groups: 2 },
  { cluster: 16, groups: 4 },
  { cluster: 8, groups: 1 },
  { cluster: 8, groups: 4 },
];
const orders = [undefined, 'transposed', 'reversed', 'transposed'];

function expectedOf(x, blocks) {
  return blocks.reduce((stream, { reorder, norm1, ssm, norm2, mlp }) => {
    const ordered = reorder ? F.reorderTokens(stream, reorder) : stream;
    return kernels.mlpBranch(kernels.ssmBranch(ordered, norm1, ssm), norm2, mlp);
  }, x.to('float32'));
}

const like = scope(() =>
  skip ? undefined : zeros([1, 64, 192], { device: gpu, dtype: 'bfloat16' }).keep(),
);
const runs =
  !skip &&
  noGrad(() =>
    scope(() => kernels.clusterImages(like, [blockOf(pruned)], { cluster: 8, groups: 1 }) > 0),
  );

describe(
  'all blocks in one launch',
  { skip: skip || (!runs && 'no GPU of compute capability 9.0') },
  () => {
    for (const [name, sizes, length = 64, tolerance = 0.01] of [
      ['dense', [dense, dense]],
      ['pruned', [pruned, pruned, pruned]],
      [
        'of widths of their own',
        [
          { ...pruned, dInner: 37 },
          { ...pruned, neurons: 29 },
          dense,
          { ...pruned, dInner: 1, neurons: 1 },
        ],
        64,
        // The roundings of a single channel do not average out.
        0.02,
      ],
      [
        'with few states, a small rank and three taps',
        [{ ...pruned, dState: 5, dtRank: 3, dConv: 3 }],
      ],
      ['of 128', [{ ...dense, dModel: 128, dInner: 256, dtRank: 8, neurons: 512 }]],
      [
        'of 96, as mamba_tiny',
        Array(3).fill({ ...dense, dModel: 96, dInner: 192, dState: 8, dtRank: 6, neurons: 384 }),
      ],
      ['of 16 tokens', [dense, dense], 16],
      ['of 100 tokens', [pruned, pruned], 100],
      ['of a single token', [pruned, pruned], 1],
    ]) {
      for (const layout of layouts) {
        it(`${name}, clusters of ${layout.cluster} in ${layout.groups}`, (t) => {
          noGrad(() =>
            scope(() => {
              manualSeed(5);
              for (const turning of [false, true]) {
                const blocks = sizes.map((size, i) =>
                  blockOf(size, turning ? orders[i % 4] : undefined),
                );
                for (const batch of [1, 3, 8, 21]) {
                  const x = randn([batch, length, sizes[0].dModel]).to(gpu).to('bfloat16');
                  const images = kernels.clusterImages(x, blocks, layout);
                  if (images === 0) {
                    t.diagnostic('does not fit');
                    return;
                  }
                  const stack = kernels.packCluster(blocks, layout, x);
                  const apart = distance(kernels.clusterBlocks(x, stack), expectedOf(x, blocks));
                  t.diagnostic(`batch ${batch}: ${apart}, ${images} images at a time`);
                  // Weights, the products' inputs and the result are rounded to 2^-9, the residual stream is not: an
                  // emulation of the kernel on a CPU has 0.003 to 0.005.
                  assert.ok(apart <= tolerance, `batch ${batch}, turning ${turning}: ${apart}`);
                }
              }
            }),
          );
        });
      }
    }

    it('takes float16 as well', (t) => {
      noGrad(() =>
        scope(() => {
          manualSeed(6);
          const blocks = [blockOf(pruned), blockOf(pruned)];
          const x = randn([2, 64, 192]).to(gpu).to('float16');
          const stack = kernels.packCluster(blocks, { cluster: 16, groups: 4 }, x);
          const apart = distance(kernels.clusterBlocks(x, stack), expectedOf(x, blocks));
          t.diagnostic(`${apart}`);
          // Three bits more than bfloat16 has; the approximate tanh of the gates has errors of 2^-11 too.
          assert.ok(apart <= 0.003, `${apart}`);
        }),
      );
    });

    it('refuses what its kernel does not hold', () => {
      noGrad(() =>
        scope(() => {
          const images = (sizes, x = like, cluster = 16) =>
            kernels.clusterImages(x, [blockOf(sizes)], { cluster, groups: 1 });
          assert.equal(images({ ...pruned, dState: 17 }), 0);
          assert.equal(images({ ...pruned, dtRank: 24 }), 0);
          assert.equal(images({ ...pruned, dConv: 5 }), 0);
          assert.equal(images(pruned, like.to('float32')), 0);
          assert.equal(
            images(pruned, zeros([1, 4096, 192], { device: gpu, dtype: 'bfloat16' })),
            0,
          );
          assert.throws(
            () => images(pruned, like, 4),
            /clusters of 4 in 1 groups, expected clusters of 8 or 16/,
          );
          const stack = kernels.packCluster([blockOf(pruned)], { cluster: 16, groups: 1 }, like);
          const weights = stack.weights.narrow(0, 0, 100);
          assert.throws(
            () => kernels.clusterBlocks(like, { ...stack, weights }),
            /got weights of shape/,
          );
        }),
      );
    });

    for (const [name, make] of Object.entries({
      mamba_small: () => createModel('mamba_small', { depth: 6 }),
      'mamba_small in four directions by turns': () =>
        createModel('mamba_small', { depth: 6, scan: 'cross' }),
      mamba_tiny: () => createModel('mamba_tiny'),
    })) {
      it(`${name} gives the logits that it gives on the CPU, also replayed`, (t) => {
        scope(() => {
          manualSeed(1);
          const onCpu = make().eval();
          const model = createModelFromConfig(onCpu.config);
          model.loadStateDict(onCpu.stateDict());
          model.to(gpu).eval();
          for (const batch of [1, 3, 8]) {
            const images = randn([batch, 3, 32, 32]);
            const expected = noGrad(() => onCpu.forward(images));
            const given = images.to(gpu).to('bfloat16');
            const copies = weightCopies(model, 'bf16', { fixed: true });
            const eager = noGrad(() => model.forward(given));
            const apart = distance(eager, expected);
            t.diagnostic(`batch ${batch}: ${apart}`);
            // As in models.test.mjs: the patches and the head are rounded too.
            assert.ok(apart <= 0.03, `batch ${batch}: ${apart}`);
            const result = zeros(eager.shape, { device: gpu, dtype: eager.dtype });
            const graph = CudaGraph.capture(gpu, () =>
              scope(() => noGrad(() => result.copy_(model.forward(given)))),
            );
            graph.replay();
            assert.equal(distance(result, eager), 0);
            graph.dispose();
            copies.dispose();
          }
        });
      });
    }
  },
);
