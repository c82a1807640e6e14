// Mean and deviation that lie beside a model, in a file of tensors alone.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, saveSafetensors, tensor } from '@mamba-prune/libtorch';
import { afterAll, expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { importModel } from './model.js';

const folder = mkdtempSync(join(tmpdir(), 'inner-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const sizes = { arch: 'resnet18', blocks: [1, 1], baseWidth: 4, imageSize: 16 } as const;
const { arch, ...options } = sizes;
const model = createModel(arch, options);

/** The mean and the deviation that are recorded of a model beside which these lie, and what was said of it. */
async function readWith(beside: Readonly<Record<string, Tensor>>) {
  const path = join(folder, 'model.safetensors');
  const named = Array.from(model.stateDict(), ([name, of]): [string, Tensor] => [
    `net.${name}`,
    of,
  ]);
  saveSafetensors(path, new Map([...named, ...Object.entries(beside)]));
  const { info, notes, assumed } = await importModel(path, sizes);
  return { mean: info.mean, std: info.std, notes: notes.join(' '), assumed: assumed.join(' ') };
}

const perChannel = (values: readonly number[]): Tensor => tensor([...values]).view(1, 3, 1, 1);

it.each([
  ['mean', 'std'],
  ['normalize.mean', 'normalize.std'],
  ['model.pixel_mean', 'model.pixel_std'],
  ['normalizer.new_mean', 'normalizer.new_std'],
  ['mu', 'sigma'],
])('%s and %s are taken, and a note says so', async (mean, std) => {
  const read = await readWith({
    [mean]: perChannel([0.4, 0.5, 0.6]),
    [std]: perChannel([0.2, 0.25, 0.3]),
  });
  expect(read).toMatchObject({ mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] });
  expect(read.notes).toContain(
    `normalises its images in the model, by ${mean} and ${std}; here that is done before the model`,
  );
  expect(read.assumed).not.toMatch(/mean|std/);
});

it('those of pixels up to 255 are divided', async () => {
  const read = await readWith({
    pixel_mean: perChannel([51, 102, 153]),
    pixel_std: perChannel([51, 51, 51]),
  });
  expect(read).toMatchObject({ mean: [0.2, 0.4, 0.6], std: [0.2, 0.2, 0.2] });
});

it.each<[string, Readonly<Record<string, Tensor>>]>([
  ['one of them alone', { mean: perChannel([0.4, 0.5, 0.6]) }],
  [
    'two pairs',
    { mean: tensor([0.4]), std: tensor([0.2]), mu: tensor([0.4]), sigma: tensor([0.2]) },
  ],
  [
    'a matrix',
    {
      mean: tensor([
        [0.4, 0.5],
        [1, 2],
      ]),
      std: tensor([
        [1, 2],
        [3, 4],
      ]),
    },
  ],
])('%s is left out, and the usual is assumed', async (_, beside) => {
  const read = await readWith(beside);
  expect(read.mean).toEqual([0.485, 0.456, 0.406]);
  expect(read.notes).not.toContain('normalises its images');
  expect(read.assumed).toMatch(/mean 0.485/);
});
