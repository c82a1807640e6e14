// Vim's published checkpoints: fixtures/checkpoint.pth was written by that project's trainer with random weights, and
// fixtures/io.safetensors has images, and what its code computes of them in float64.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Tensor, loadSafetensors, noGrad, setNumThreads } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { importModel } from '../import/model.js';
import { denseShapes } from '../registry.js';
import { countParameters } from '../shapes.js';
import { relativeDifference } from '../testing/parity.js';
import { Block, Vim } from './model.js';

setNumThreads(1);

const fixtures = join(import.meta.dirname, 'fixtures');
const checkpoint = join(fixtures, 'checkpoint.pth');
const { tensors: io } = loadSafetensors(join(fixtures, 'io.safetensors'));
const expected = (name: string): Tensor => io.get(name) as Tensor;

const small = { arch: 'vim_tiny', dModel: 48, depth: 4, imageSize: 64 } as const;

const run = (model: { forward(images: Tensor): Tensor }, images: Tensor): Tensor =>
  noGrad(() => model.forward(images));

describe("a checkpoint of Vim's trainer", () => {
  it('is read from the average of its weights first, and from the weights by their key', async () => {
    const averaged = await importModel(checkpoint, small);
    const plain = await importModel(checkpoint, { ...small, key: 'model' });
    expect(averaged.notes.join(' ')).toMatch(/Took the weights at "model_ema"/);
    const images = expected('images');
    // float32 rounds by 6e-8 in sums of up to 96 terms, in four layers.
    expect(
      relativeDifference(run(averaged.model, images), expected('logits_ema_f64')),
    ).toBeLessThan(1e-5);
    expect(relativeDifference(run(plain.model, images), expected('logits_f64'))).toBeLessThan(1e-5);
    expect(
      relativeDifference(run(plain.model, images), expected('logits_ema_f64')),
    ).toBeGreaterThan(1e-2);
    expect(plain.model.config).toMatchObject({ stride: 8, patchSize: 16, imageSize: 64 });
  });

  it('computes in float64 what the published code does, step by step', async () => {
    const { model } = await importModel(checkpoint, { ...small, key: 'model' });
    model.to('float64');
    if (!(model instanceof Vim)) throw new TypeError('expected a Vim');
    const images = expected('images').to('float64');
    const layer = model.namedModules().get('layers.0');
    if (!(layer instanceof Block)) throw new TypeError('expected a layer of Vim');
    const [tokens, mixed, stream] = noGrad(() => {
      const embedded = model.embed(images);
      return [
        embedded,
        layer.mixer.forward(layer.norm.forward(embedded)),
        layer.forward(embedded),
      ] as const;
    });
    // The same operations in another order, 1e-16 each.
    expect(relativeDifference(tokens, expected('tokens_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(mixed, expected('mixer0_output_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(stream, expected('residual_after_block0_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(run(model, images), expected('logits_f64'))).toBeLessThan(1e-12);
  });
});

describe('the full size', () => {
  it('has the names and shapes of the published vim_tiny, with nothing allocated', () => {
    const file = readFileSync(join(fixtures, 'tiny-names.json'), 'utf8');
    const { state_dict: published, parameters } = JSON.parse(file) as {
      readonly state_dict: Readonly<Record<string, readonly number[]>>;
      readonly parameters: number;
    };
    const shapes = denseShapes('vim_tiny', { numClasses: 1000 });
    expect(Object.fromEntries(shapes)).toEqual(published);
    expect(countParameters(shapes)).toBe(parameters);
    expect(parameters).toBe(7_148_008);
  });
});
