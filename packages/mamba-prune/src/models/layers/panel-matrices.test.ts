// The matrices in panels that a Mamba, a Vim and a ViT keep for inference on the CPU.
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

const common = { dModel: 16, depth: 2, numClasses: 3, imageSize: 16, patchSize: 8 };

describe.each([
  // In_proj, x_proj, out_proj, fc1 and fc2; a Vim has no MLP, and an x_proj for each direction; a ViT has qkv and proj.
  { arch: 'mamba_nano', ofBlock: 5, own: { dState: 4 }, whole: { dModel: 64, dState: 14 } },
  { arch: 'vim_nano', ofBlock: 4, own: { dState: 4 }, whole: { dModel: 64, dState: 14 } },
  { arch: 'vit_tiny', ofBlock: 4, own: { heads: 2 }, whole: { dModel: 64, heads: 2 } },
])('the matrices of $arch in panels', ({ arch, ofBlock, own, whole }) => {
  const sizes = { ...common, ...own };
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
        [...model.namedParameters()].find(([name]) => /(out_|attn\.)proj/.test(name)) ?? [];
      noGrad(() => weight?.mul_(2));
      expect(infer().equal(first)).toBe(false);
      expect(packings.count).toBe(all + 1);
    });
  });

  it('take the place of the matrices in memory, which are there again for who asks for them', () => {
    scope(() => {
      const model = make();
      const values = () => [...model.stateDict().values()].map((weight) => weight.toNumbers());
      const expected = values();
      const x = randn([1, 3, 16, 16]);
      const before = memoryStats();
      const infer = () => {
        scope(() => void noGrad(() => model.forward(x)));
      };
      for (let i = 0; i < 2; i++) infer();
      const lent = model.parameters().filter(({ isLent }) => isLent);
      expect(lent).toHaveLength(all);
      // Of each the rows up to a whole panel, which is at most 32 wide; exactly nothing where they fill it.
      const rows = lent.map(({ shape: [out = 0, depth = 0] }) => 4 * depth * (-out & 31));
      const { bytes, tensors } = memoryStats();
      expect(tensors).toBe(before.tensors);
      expect(bytes - before.bytes).toBeGreaterThanOrEqual(0);
      expect(bytes - before.bytes).toBeLessThanOrEqual(rows.reduce((sum, each) => sum + each, 0));
      expect(values()).toEqual(expected);
    });
  });

  it('add not a byte where their sizes are whole panels', () => {
    scope(() => {
      const model = createModel(arch, { ...sizes, ...whole }).eval();
      const x = randn([1, 3, 16, 16]);
      const before = memoryStats();
      scope(() => void noGrad(() => model.forward(x)));
      expect(memoryStats()).toEqual(before);
      expect(model.parameters().filter(({ isLent }) => isLent)).toHaveLength(all);
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
    model.train();
    expect(memoryStats().tensors).toBe(before);
    expect(model.parameters().some(({ isLent }) => isLent)).toBe(false);
    model.eval();
    infer();
    const parameters = model.parameters().length;
    model.dispose();
    expect(memoryStats().tensors).toBeLessThanOrEqual(before - parameters);
    x.dispose();
  });
});
