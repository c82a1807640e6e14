// What JavaScript may give to functions of the library in place of what they take: each answers with a sentence.
import { describe, expect, it } from 'vitest';
import { BatchLoader } from './data/loader.js';
import { openDataset } from './data/datasets.js';
import { evaluateModel } from './inference/evaluate-model.js';
import { createModel } from './models/registry.js';
import { saveModel } from './models/model-file.js';
import { chooseUnits } from './pruning/select-units.js';
import { scoreUnits } from './pruning/score-units.js';
import { pruneModel } from './pruning/surgery.js';
import { fitBatchSize } from './training/auto-batch.js';

const model = createModel('mamba_nano', { dModel: 8, depth: 1, dState: 2, imageSize: 8 });

describe.each([undefined, null, 3, 'text', {}, []])('%j is refused', (wrong) => {
  const any = wrong as never;
  it.each<[name: string, call: () => unknown]>([
    ['createModel', () => createModel(any)],
    ['openDataset', async () => openDataset(any)],
    ['BatchLoader: the split', () => new BatchLoader(any, any, { batchSize: 1 })],
    ['evaluateModel', async () => evaluateModel(any, any)],
    ['evaluateModel: the data set', async () => evaluateModel(model, any)],
    ['fitBatchSize', () => fitBatchSize(any, any, any)],
    [
      'saveModel',
      () => {
        saveModel('/dev/null/x', any, any);
      },
    ],
    ['chooseUnits', async () => chooseUnits(any, any)],
    ['scoreUnits', async () => scoreUnits(any, [], {})],
    ['pruneModel', () => pruneModel(any, new Map())],
  ])('by %s', async (_, call) => {
    const attempt = Promise.resolve().then(call);
    await expect(attempt).rejects.toThrow(/: got .*, expected /);
    await expect(attempt).rejects.not.toBeInstanceOf(TypeError);
  });
});

describe('scoreUnits refuses', () => {
  const groups = model.pruningGroups();
  it('groups that are no array, and a calibration that is no function', async () => {
    await expect(scoreUnits(model, {} as never, {})).rejects.toThrow('in place of the groups');
    const wrong = scoreUnits(model, groups, { importance: 'taylor' }, {} as never);
    await expect(wrong).rejects.toThrow('in place of the calibration');
  });

  it.each([
    ['words', '1'],
    ['big integers', 1n],
  ])('scores that are %s', async (_, value) => {
    const importance = () =>
      new Map(groups.map(({ name, size }) => [name, Array(size).fill(value)])) as never;
    await expect(scoreUnits(model, groups, { importance })).rejects.toThrow(
      'values that are no numbers',
    );
  });
});
