/** Calls as JavaScript can make them: options that would be passed over are refused by name. */
import { describe, expect, it } from 'vitest';
import { benchmarkModels } from './bench/bench.js';
import { BatchLoader } from './data/index.js';
import { UsageError } from './errors.js';
import { buildOnnxModel } from './export/build-model.js';
import { exportOnnx } from './export/export-onnx.js';
import { predictImages } from './inference/predict.js';
import { createModel } from './models/registry.js';
import { pruneOneShot } from './pruning/oneshot.js';
import { scoreUnits } from './pruning/score-units.js';
import { pruneWithRefill, refillUnits } from './pruning/refill.js';
import { computeStructuredRegularization, rsstHooks } from './pruning/rsst/index.js';
import { chooseUnits } from './pruning/select-units.js';
import { selectUnits } from './pruning/selection.js';
import { evaluate, reestimateBatchNorm } from './training/index.js';
import { checkTeacher } from './training/teacher.js';
import { resolveTrainOptions } from './training/options.js';
import { toyDataset, toyInfo } from './training/testing/toy.js';
import { collectRuns } from './workflows/compare/collect.js';
import { modelInfoOf } from './workflows/fit.js';
import { quickstart } from './workflows/quickstart.js';
import type { SensitivityFile } from './workflows/sensitivity/file.js';
import { ratesFrom } from './workflows/sensitivity/rates-from.js';
import { sensitivityRun } from './workflows/sensitivity/run.js';

const model = createModel('mamba_nano', {
  dModel: 8,
  depth: 1,
  imageSize: 6,
  patchSize: 3,
  channels: 1,
  numClasses: 3,
});
const groups = model.pruningGroups();
const info = modelInfoOf(toyInfo, []);
const test = new BatchLoader(toyDataset().test, toyInfo, { batchSize: 60 });

const calls: Record<string, (options: never) => unknown> = {
  pruneOneShot: (o) => pruneOneShot(model, o),
  chooseUnits: (o) => chooseUnits(model, o),
  scoreUnits: (o) => scoreUnits(model, groups, o),
  selectUnits: (o) => selectUnits([], new Map(), o),
  pruneWithRefill: (o) => pruneWithRefill(model, o),
  refillUnits: (o) => refillUnits(model, o),
  rsstHooks: (o) => rsstHooks(model, groups, o),
  computeStructuredRegularization: (o) => computeStructuredRegularization(model, groups, o),
  resolveTrainOptions: (o) => resolveTrainOptions(o, toyInfo),
  evaluate: (o) => evaluate(model, test, toyInfo, o),
  reestimateBatchNorm: (o) => reestimateBatchNorm(model, test, toyInfo, o),
  checkTeacher: (o) => {
    checkTeacher(o, model, toyInfo);
  },
  benchmarkModels: (o) => benchmarkModels([{ name: 'it', forward: (x) => model.forward(x) }], o),
  predictImages: (o) => predictImages(model, info, [], o),
  exportOnnx: (o) => exportOnnx('/nonexistent/model.onnx', model, info, o),
  buildOnnxModel: (o) => buildOnnxModel(model, info, o),
  createModel: (o) => createModel('mamba_nano', o),
  collectRuns: (o) => collectRuns(o),
  quickstart: (o) => quickstart(o),
  sensitivityRun: (o) => sensitivityRun({ model: 'm', dataset: 'd' }, o),
  ratesFrom: (o) => ratesFrom('sensitivity.json', {} as SensitivityFile, model, o),
};

describe.each(Object.entries(calls))('%s', (_, call) => {
  it.each<[string, unknown, RegExp]>([
    ['an option that there is not', { rat: 0.2 }, /['`]rat['`], expected some of `?\w+/],
    ['a number in place of the options', 0.2, /got (the number )?0.2 in place of the options/],
    ['a string in place of the options', 'layer', /'?"?layer'?"? in place of the options/],
    ['an array in place of the options', [0.2], /in place of the options/],
  ])('refuses %s', async (__, options, words) => {
    const result = Promise.resolve().then(() => call(options as never));
    await expect(result).rejects.toThrow(words);
    await expect(result).rejects.toThrow(UsageError);
  });
});

describe('options inside options', () => {
  it.each<[string, object, string]>([
    ['lr', { lr: '0.1' }, "lr: got the string '0.1', expected a number"],
    ['weightDecay', { weightDecay: '0.05' }, "weightDecay: got the string '0.05'"],
    ['augment', { augment: { padcrop: 4 } }, 'augment: got the option `padcrop`'],
    ['flip', { augment: { flip: 'no' } }, "augment: flip: got the string 'no'"],
    [
      'randAugment',
      { augment: { randAugment: { n: 2 } } },
      'augment.randAugment: got the option `n`',
    ],
    ['plainAugment', { plainEpochs: 1, plainAugment: { mix: 1 } }, 'augment: got the option `mix`'],
    [
      'checkpointEvery',
      { checkpointEvery: { seconds: 3 } },
      'checkpointEvery: got the option `seconds`',
    ],
    ['labelSmoothing', { labelSmoothing: 1 }, 'labelSmoothing: got 1'],
    ['emaDecay', { emaDecay: 1 }, 'emaDecay: got 1'],
  ])('of a training: %s', (_, options, words) => {
    expect(() => resolveTrainOptions({ epochs: 1, ...options }, toyInfo)).toThrow(words);
  });

  it.each([
    [{ mean: [] }, 'got 0 values for mean, expected'],
    [{ std: [0] }, 'got 0 in std, expected'],
    [{ std: [] }, 'got 0 values for std, expected'],
    [{ mean: info.mean.map(() => NaN) }, 'got NaN in mean, expected'],
    [{ std: info.std.map(() => 1e-320) }, 'got 1e-320 in std, expected'],
  ])('of images: %o', async (changes, words) => {
    const wrong = { ...info, ...changes };
    await expect(predictImages(model, wrong, ['nowhere.png'])).rejects.toThrow(UsageError);
    await expect(predictImages(model, wrong, ['nowhere.png'])).rejects.toThrow(words);
    await expect(exportOnnx('nowhere/m.onnx', model, wrong)).rejects.toThrow(words);
  });

  it('are looked at in a cut too', async () => {
    const cut = { importance: 'l1', ranking: 'global' } as const;
    await expect(pruneOneShot(model, { ...cut, rates: 0.2 as never })).rejects.toThrow(
      'CutOptions: rates: got the number 0.2, expected an object',
    );
    await expect(pruneOneShot(model, { ...cut, rates: { ssm: '0.2' as never } })).rejects.toThrow(
      "rate: got '0.2' for ssm",
    );
    await expect(
      pruneOneShot(model, { ...cut, rates: { ssm: 0.2 }, roundTo: '8' as never }),
    ).rejects.toThrow("roundTo: got the string '8'");
    await expect(predictImages(model, info, [], { batchSize: 0 })).rejects.toThrow(
      'predict: batchSize: got 0, expected an integer of at least 1',
    );
  });
});
