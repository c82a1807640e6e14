import { manualSeed, ops } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { DataError } from '../data/errors.js';
import { UsageError } from '../errors.js';
import { measureAccuracy } from '../export/accuracy.js';
import { createModel } from '../models/registry.js';
import { BatchLoader } from '../data/loader.js';
import { evaluate } from '../training/evaluate.js';
import { toyDataset } from '../training/testing/toy.js';
import { type EvaluateModelOptions, NotFiniteError, evaluateModel } from './evaluate-model.js';

const create = () =>
  createModel('mamba_nano', {
    dModel: 8,
    depth: 1,
    imageSize: 6,
    patchSize: 3,
    channels: 1,
    numClasses: 3,
  });
const classify = (pixels: Uint8Array) => new Float32Array((pixels.length / 36) * 3);

describe('evaluateModel', () => {
  // What a pruning or a sensitivity analysis notes must be what it was, on processors without products in bfloat16 too.
  it('computes as in training where it is asked to', async () => {
    manualSeed(2);
    const [model, dataset] = [create(), toyDataset()];
    const loader = new BatchLoader(dataset.test, dataset.info, { batchSize: 256 });
    const trained = await evaluate(model, loader, dataset.info, { precision: 'bf16' });
    const options = { precision: 'bf16', asInTraining: true } as const;
    const found = await evaluateModel(model, dataset, options);
    expect(found.loss).toBe(trained?.loss);
    // Activations were rounded: the loss is not float32's.
    expect(found.loss).not.toBe((await evaluateModel(model, dataset)).loss);
  });

  it('says that a loss is no number, of which images, and what to do', async () => {
    const model = create();
    const [first] = model.parameters();
    if (first) ops.fill_(first.detach(), 1e38);
    const error: unknown = await evaluateModel(model, toyDataset()).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(NotFiniteError);
    expect((error as Error).message).toMatch(
      /^evaluateModel: got a loss of NaN on the test images of bars, expected a number: .* train the model again\.$/,
    );
  });

  it('says that there are no images', async () => {
    const dataset = toyDataset(12, 0);
    const words = 'got no test images of bars, expected at least one. Choose the other split';
    await expect(evaluateModel(create(), dataset)).rejects.toThrow(`evaluateModel: ${words}`);
    await expect(measureAccuracy([classify], dataset)).rejects.toThrow(`measureAccuracy: ${words}`);
    await expect(measureAccuracy([classify], dataset)).rejects.toThrow(DataError);
    expect((await evaluateModel(create(), dataset, { split: 'train' })).images).toBe(12);
  });

  it.each([
    [{ split: 'val' }, "split: got 'val', expected one of train, test."],
    [{ images: 0 }, 'images: got 0, expected an integer of at least 1.'],
    [{ batchSize: 0.5 }, 'batchSize: got 0.5, expected an integer of at least 1.'],
    [{ seed: -1 }, 'seed: got -1, expected an integer of at least 0.'],
    [{ perclass: true }, 'got the option `perclass`, expected some of `device`, `precision`'],
  ])('refuses %j', async (options, words) => {
    const call = evaluateModel(create(), toyDataset(), options as EvaluateModelOptions);
    await expect(call).rejects.toThrow(UsageError);
    await expect(call).rejects.toThrow(words);
  });
});
