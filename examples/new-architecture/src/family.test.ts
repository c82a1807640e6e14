// The mixer keeps what a family promises.
import { type Tensor, manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ImageModel,
  createModel,
  exportOnnx,
  loadModel,
  maskModel,
  pruneModel,
  saveModel,
} from 'mamba-prune';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import './family.js';

const folder = mkdtempSync(join(tmpdir(), 'mixer-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info = { classes: ['a', 'b', 'c'], mean: [0.5], std: [0.25], history: [] };
const dense = (): ImageModel =>
  createModel('mixer_nano', { imageSize: 12, channels: 1, numClasses: 3 }).eval();
const logits = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));
const difference = (one: Tensor, other: Tensor): number => one.sub(other).abs().amax().item();

beforeEach(() => {
  manualSeed(0);
});

describe('a mixer', () => {
  it.each(dense().pruningGroups())(
    'computes without some units of $name what it computes with them masked',
    ({ name, size }) => {
      const model = dense();
      const images = randn([4, 1, 12, 12]);
      const before = logits(model, images);
      const kept = new Map([[name, Array.from({ length: size / 2 }, (_, i) => 2 * i)]]);
      const pruned = pruneModel(model, kept).eval();
      maskModel(model, kept);
      const masked = logits(model, images);
      // Logits of about 1, from sums of a few dozen float32 products in another order.
      expect(difference(logits(pruned, images), masked)).toBeLessThan(1e-5);
      expect(difference(masked, before)).toBeGreaterThan(1e-3);
      expect(pruned.config.widths).toEqual({ [name]: size / 2 });
    },
  );

  it('shows its units where multiplying by 0 removes them', () => {
    const model = dense();
    const images = randn([4, 1, 12, 12]);
    const [first] = model.pruningGroups();
    const shown: string[] = [];
    const gated = noGrad(() =>
      model.forward(images, {
        gate: (group, x) => (group === first?.name ? x.mul(0) : x),
        output: (group, x, dim) => shown.push(`${group} ${x.size(dim)}`),
      }),
    );
    expect(shown).toEqual(model.pruningGroups().map(({ name, size }) => `${name} ${size}`));
    noGrad(() => model.stateDict().get('mlps.0.fc2.weight')?.fill_(0));
    expect(difference(gated, logits(model, images))).toBe(0);
  });

  it('counts its multiply-accumulates', () => {
    // 9 patches of 4 x 4 grey pixels into 32 channels; per block 2 x 9 x 36 weights for each of 32 channels, and
    // 2 x 32 x 128 for each of 9 patches; 32 channels into 3 classes.
    expect(dense().macs()).toEqual([
      { name: 'embed', macs: 9 * 16 * 32 },
      { name: 'mlps.0', macs: 32 * 2 * 9 * 36 },
      { name: 'mlps.1', macs: 9 * 2 * 32 * 128 },
      { name: 'mlps.2', macs: 32 * 2 * 9 * 36 },
      { name: 'mlps.3', macs: 9 * 2 * 32 * 128 },
      { name: 'head', macs: 32 * 3 },
    ]);
  });

  it('is saved and loaded, and names its module in the file', () => {
    const model = pruneModel(dense(), new Map([['mlps.1', [0, 1, 2]]])).eval();
    const path = join(folder, 'mixer.safetensors');
    saveModel(path, model, info);
    const images = randn([2, 1, 12, 12]);
    const loaded = loadModel(path).model;
    expect(loaded.config).toEqual(model.config);
    expect(readFileSync(path).includes(join(import.meta.dirname, 'family.ts'))).toBe(true);
    expect(logits(loaded, images).equal(logits(model, images))).toBe(true);
  });

  it.each([{}, { dtype: 'float16' }, { quantize: 'int8' }, { quantize: 'int8-dynamic' }] as const)(
    'computes the same as an ONNX file of %o',
    async (options) => {
      const path = join(folder, 'mixer.onnx');
      // Refuses a file whose logits are further from the model's than the rounding explains.
      const { verification } = await exportOnnx(path, dense(), info, options);
      expect(verification?.images).toBe(4);
    },
  );

  it.each([
    [{ imageSize: 10 }, 'got patch size 4 for images of 10 px, expected a divisor'],
    [{ depth: 1001 }, 'mixer configuration: '],
    [
      { heads: 2 },
      'mixer_nano: got the option `heads`, expected some of `patchSize`, `dModel`, `depth`',
    ],
  ])('refuses %o', (options, message) => {
    expect(() => createModel('mixer_nano', options)).toThrow(message);
  });
});
