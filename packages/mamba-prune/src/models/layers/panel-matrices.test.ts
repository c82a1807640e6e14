// The matrices in panels that a Mamba and a Vim keep for inference on the CPU.
import { memoryStats, noGrad, randn, scope } from '@mamba-prune/libtorch';
import type * as kernels from '@mamba-prune/libtorch/kernels';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createModel } from '../registry.js';

const packings = vi.hoisted(() => ({ count: 0 }));

vi.mock('@mamba-prune/libtorch/kernels', async (load) => {
  const real = await load<typeof kernels>();
  const packWeights: typeof kernels.packWeights = (weight) => {
    packings.count++;
    return real.packWeights(weight);
  };
  return { ...real, packWeights };
});

const sizes = { dModel: 16, depth: 2, dState: 4, numClasses: 3, imageSize: 16, patchSize: 8 };

describe.each([
  // In_proj, x_proj, out_proj, fc1 and fc2; a Vim has no MLP, and an x_proj for each direction.
  { arch: 'mamba_nano', ofBlock: 5 },
  { arch: 'vim_nano', ofBlock: 4 },
])('the matrices of $arch in panels', ({ arch, ofBlock }) => {
  const make = () => createModel(arch, sizes).eval();
  const all = sizes.depth * ofBlock;

  beforeEach(() => {
    packings.count = 0;
  });

  it('are made once for many batches, and again for other weights', () => {
    scope(() => {
      const model = make();
      const x = randn([2, 3, 16, 16]);
      const infer = () => noGrad(() => model.forward(x));
      const first = infer();
      expect(infer().equal(first)).toBe(true);
      expect(packings.count).toBe(all);
      const [, weight] =
        [...model.namedParameters()].find(([name]) => name.includes('out_proj')) ?? [];
      noGrad(() => weight?.mul_(2));
      expect(infer().equal(first)).toBe(false);
      expect(packings.count).toBe(2 * all);
    });
  });

  it('are freed by training mode and with the model', () => {
    const model = make();
    const x = randn([1, 3, 16, 16]);
    const before = memoryStats().tensors;
    const infer = () => {
      scope(() => void noGrad(() => model.forward(x)));
    };
    infer();
    expect(memoryStats().tensors).toBe(before + all);
    model.train();
    expect(memoryStats().tensors).toBe(before);
    model.eval();
    infer();
    const parameters = model.parameters().length;
    model.dispose();
    expect(memoryStats().tensors).toBeLessThanOrEqual(before - parameters);
    x.dispose();
  });
});
