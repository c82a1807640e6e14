// Which operators run a vision Mamba on a GPU, and which copies of the weights they read. The operators themselves are replaced
// by ones that note what they are given and return their input: test/gpu compares the real ones.
import { type Tensor, F, memoryStats, noGrad, randn, scope, zeros } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { weightCopies } from '../precision.js';
import { createModel } from '../registry.js';

interface Call {
  readonly operator: string;
  /** The first number of each block's out_proj as it was read. */
  readonly outProj?: number;
  readonly packed?: readonly Tensor[];
  /** Shape of the factors of drop path. */
  readonly scale?: readonly number[] | undefined;
}

const calls = vi.hoisted((): Call[] => []);
/** What the operators of a GPU say of themselves. */
const gpu = vi.hoisted(() => ({ fused: true, images: 0, packings: 0, units: 0 }));

vi.mock('@mamba-prune/libtorch/kernels', async (load) => {
  const real = await load<typeof kernels>();
  const first = (matrix: Tensor | undefined) => matrix?.flatten().select(0, 0).item() ?? NaN;
  const branch =
    (operator: string): typeof kernels.ssmBranch =>
    (x, _, { packed }, scale) => {
      calls.push({ operator, outProj: first(packed[1]), packed, scale: scale?.shape });
      return x;
    };
  const operators: Partial<typeof kernels> = {
    hasFusedBranches: () => true,
    hasFusedBlocks: () => gpu.fused,
    ssmBranch: branch('ssm'),
    mlpBranch: branch('mlp'),
    packUnits() {
      gpu.units++;
      return zeros([1]);
    },
    mambaBlocks(x, blocks) {
      calls.push({ operator: 'all', outProj: first(blocks[0]?.ssm.packed[1]) });
      return x;
    },
    hasClusterBlocks: () => gpu.images > 0,
    clusterImages: (_, __, { cluster }) => (cluster === 16 ? gpu.images : 0),
    packCluster(blocks, layout) {
      gpu.packings++;
      const weights = blocks[0]?.ssm.weights[1]?.clone() as Tensor;
      return { weights, layout, sizes: [], blocks };
    },
    clusterBlocks(x, { weights }) {
      calls.push({ operator: 'cluster', outProj: first(weights) });
      return x;
    },
  };
  return { ...real, ...operators };
});

const sizes = { dModel: 16, depth: 2, dState: 4, numClasses: 3, imageSize: 8 } as const;
const branches = ['ssm', 'mlp', 'ssm', 'mlp'];

const make = (options: Parameters<typeof createModel>[1] = {}) =>
  createModel('mamba_nano', { ...sizes, ...options });
const images = (batch = 2) => randn([batch, 3, 8, 8]);
const operators = () => calls.map(({ operator }) => operator);
/** What the first branch of an SSM, or all blocks together, read of out_proj. */
const read = () => calls.find(({ operator }) => operator !== 'mlp')?.outProj;

type Model = ReturnType<typeof make>;

function fill(model: Model, value: number): void {
  noGrad(() => model.stateDict().get('blocks.0.ssm.out_proj.weight')?.fill_(value));
}

/** A pass in 16 bits without gradients, and what it called. */
function run(model: Model, batch?: number): void {
  calls.length = 0;
  scope(() => {
    noGrad(() => model.forward(images(batch).to('bfloat16')));
  });
}

describe('a vision Mamba on a GPU', () => {
  beforeEach(() => {
    calls.length = 0;
    Object.assign(gpu, { fused: true, images: 0, packings: 0, units: 0 });
  });

  it('runs branch by branch, and reads the parameters themselves in float32', () => {
    const model = make();
    scope(() => model.forward(images()));
    expect(operators()).toEqual(branches);
    const state = model.stateDict();
    const names = ['in_proj', 'out_proj', 'x_proj', 'dt_proj'];
    const matrices = names.map((name) => state.get(`blocks.1.ssm.${name}.weight`));
    const isSame = calls[2]?.packed?.map((tensor, i) => tensor === matrices[i]);
    expect(isSame).toEqual([true, true, true, true]);
  });

  it('makes copies for each call while nobody keeps any', () => {
    const model = make();
    for (const value of [1, 2]) {
      fill(model, value);
      run(model);
      expect(operators()).toEqual(branches);
      expect(read()).toBe(value);
    }
  });

  it('reads the copies that were made last, and those before once these are disposed of', () => {
    const model = make();
    const kept = [1, 2, 3].map((value) => {
      fill(model, value);
      return weightCopies(model, 'bf16');
    });
    fill(model, 4);
    const [first, second, third] = kept;
    for (const [gone, value] of [
      [undefined, 3],
      [third, 2],
      // Somebody else's stay when they are disposed of again.
      [third, 2],
      [first, 2],
      [second, 4],
    ] as const) {
      gone?.dispose();
      run(model);
      expect(read()).toBe(value);
    }
  });

  it('runs all blocks as one operator while the weights are fixed, in evaluation and without gradients', () => {
    const model = make().eval();
    fill(model, 1);
    const fixed = weightCopies(model, 'bf16', { fixed: true });
    run(model);
    expect(operators()).toEqual(['all']);
    expect(read()).toBe(1);

    calls.length = 0;
    scope(() => model.forward(images().to('bfloat16')));
    expect(operators()).toEqual(branches);

    model.train();
    run(model);
    expect(operators()).toEqual(branches);

    model.eval();
    fixed?.dispose();
    const copies = weightCopies(model, 'bf16');
    run(model);
    expect(operators()).toEqual(branches);
    copies?.dispose();
  });

  it('reads copies that were made after fixed ones', () => {
    const model = make().eval();
    fill(model, 1);
    const fixed = weightCopies(model, 'bf16', { fixed: true });
    fill(model, 2);
    const copies = weightCopies(model, 'bf16');
    run(model);
    expect(operators()).toEqual(branches);
    expect(read()).toBe(2);
    copies?.dispose();
    run(model);
    expect(operators()).toEqual(['all']);
    expect(read()).toBe(1);
    fixed?.dispose();
  });

  it('runs few images in one launch while the weights are fixed, with weights that are packed once', () => {
    gpu.images = 2;
    const model = make().eval();
    fill(model, 1);
    const fixed = weightCopies(model, 'bf16', { fixed: true });
    run(model, 1);
    fill(model, 2);
    // Nothing is packed for many images before there are some.
    expect(gpu.units).toBe(0);
    run(model, 5);
    const before = memoryStats();
    for (const [batch, operator, value] of [
      [4, 'cluster', 1],
      [5, 'all', 1],
      [1, 'cluster', 1],
    ] as const) {
      run(model, batch);
      expect(operators()).toEqual([operator]);
      expect(read()).toBe(value);
    }
    expect(memoryStats()).toEqual(before);
    expect([gpu.packings, gpu.units]).toEqual([1, sizes.depth]);

    fixed?.dispose();
    run(model, 1);
    expect(operators()).toEqual(branches);
    expect(memoryStats().tensors).toBeLessThan(before.tensors);
  });

  it('goes branch by branch for many images where there is only the launch for few', () => {
    Object.assign(gpu, { fused: false, images: 1 });
    const model = make().eval();
    const fixed = weightCopies(model, 'bf16', { fixed: true });
    for (const [batch, expected] of [
      [2, ['cluster']],
      [3, branches],
    ] as const) {
      run(model, batch);
      expect(operators()).toEqual(expected);
    }
    fixed?.dispose();
    gpu.images = 0;
    const none = weightCopies(model, 'bf16', { fixed: true });
    run(model, 1);
    expect(operators()).toEqual(branches);
    none?.dispose();
  });

  it('draws the factors of drop path for each branch of a block that drops, in training only', () => {
    const model = make({ dropPath: 0.5 });
    run(model);
    // It rises from 0 at the first block.
    expect(calls.map(({ scale }) => scale)).toEqual([undefined, undefined, [2], [2]]);
    model.eval();
    run(model);
    expect(calls.map(({ scale }) => scale)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('goes operator by operator for a probe, and for sizes that the kernels do not take', () => {
    const seen: string[] = [];
    make().forward(images(), { output: (group) => seen.push(group) });
    expect(seen).toEqual(['blocks.0.ssm', 'blocks.0.mlp', 'blocks.1.ssm', 'blocks.1.mlp']);

    const wide = make({ dConv: F.kernelLimits.convTaps + 1 });
    run(wide);
    expect(wide.packWeights?.('bfloat16')).toBeUndefined();
    expect(calls).toEqual([]);

    const many = make({ dState: F.kernelLimits.gpuStates + 1 });
    scope(() => many.forward(images()));
    expect(calls).toEqual([]);
    // The limit is that of the backward pass.
    run(many);
    expect(operators()).toEqual(branches);
  });
});
