/** Calls as JavaScript can make them, with something else than what is expected: each is told what is wrong. */
import { describe, expect, it } from 'vitest';
import { profileModel } from './bench/profile-model.js';
import { downloadDataset, openDataset, verifyDataset } from './data/index.js';
import { UsageError } from './errors.js';
import { exportOnnx } from './export/export-onnx.js';
import { fetchFromHub } from './hub/fetch.js';
import { predictImages, predictImagesOnnx } from './inference/predict.js';
import { writeEventFile } from './logging/tensorboard.js';
import { importModel, importStateDict } from './models/import/model.js';
import { loadModel, saveModel } from './models/model-file.js';
import { createModel } from './models/registry.js';
import { pruneOneShot } from './pruning/oneshot.js';
import { pruneWithRefill } from './pruning/refill.js';
import { unitsByNorm } from './pruning/rsst/index.js';
import { Ema } from './training/ema.js';
import { toyDataset, toyInfo } from './training/testing/toy.js';
import { compare } from './workflows/compare/compare.js';
import { modelInfoOf } from './workflows/fit.js';
import { impRun } from './workflows/imp.js';
import { calibrationOf } from './workflows/prune/calibration.js';
import { pruneRun } from './workflows/prune/run.js';
import { trainRun } from './workflows/train-run.js';

const model = createModel('mamba_nano', {
  dModel: 8,
  depth: 1,
  imageSize: 6,
  patchSize: 3,
  channels: 1,
  numClasses: 3,
});
const info = modelInfoOf(toyInfo, []);
const nowhere = '/nonexistent/model.safetensors';
const onnx = { description: { model: model.config, classes: info.classes } };
const recipe = { epochs: 1 };

/** What no type allows. */
const wrong = (value: unknown): never => value as never;

const calls: Record<string, [call: () => unknown, words: string]> = {
  'loadModel with a misspelt option': [
    () => loadModel(nowhere, wrong({ allowNotFinit: true })),
    'loadModel: got the option `allowNotFinit`, expected some of `allowNotFinite`',
  ],
  'loadModel without a path': [
    () => loadModel(wrong(undefined)),
    'loadModel: got undefined, expected the path of a model file',
  ],
  'loadModel of what is not there': [
    () => loadModel(nowhere),
    'loadModel: /nonexistent/model.safetensors does not exist, expected a model file',
  ],
  'loadModel of a folder': [
    () => loadModel('/'),
    'loadModel: / is a folder, expected a model file. Give the model.safetensors in it, or open the folder with openModel.',
  ],
  'saveModel without a path': [
    () => {
      saveModel(wrong(null), model, info);
    },
    'saveModel: got null, expected the path of',
  ],
  'importModel with a misspelt option': [
    () => importModel(nowhere, wrong({ meann: [1] })),
    'importModel: got the option `meann`, expected some of `key`',
  ],
  'importModel without a path': [
    () => importModel(wrong(undefined)),
    'importModel: got undefined, expected the path of a file with weights',
  ],
  'importStateDict with a misspelt option': [
    () => importStateDict(new Map(), wrong({ meann: [1] })),
    'importStateDict: got the option `meann`',
  ],
  'importStateDict of an object': [() => importStateDict(wrong({})), 'got no Map, expected one'],
  'openDataset with a misspelt option': [
    () => openDataset('fashion-mnist', wrong({ dirr: 'x' })),
    'openDataset: got the option `dirr`, expected some of `dir`',
  ],
  'downloadDataset with a misspelt option': [
    () => downloadDataset('cifar10', '/nonexistent', wrong({ retrys: 1 })),
    'downloadDataset: got the option `retrys`, expected some of `url`, ',
  ],
  'calibrationOf with a misspelt option': [
    () => calibrationOf(toyDataset(), wrong({ batch: 4 })),
    'calibrationOf: got the option `batch`, expected some of `batches`, `seed`',
  ],
  'calibrationOf no batches': [
    () => calibrationOf(toyDataset(), { batches: 0 }),
    'calibrationOf: batches: got 0, expected an integer of at least 1.',
  ],
  'calibrationOf no images': [
    () => calibrationOf(toyDataset(), { maxImages: NaN }),
    'calibrationOf: maxImages: got NaN, expected an integer of at least 1.',
  ],
  'verifyDataset with a misspelt option': [
    () => verifyDataset('fashion-mnist', '/nonexistent', wrong({ cachedir: 'x' })),
    'verifyDataset: got the option `cachedir`',
  ],
  'verifyDataset with the options in place of the folder': [
    () => verifyDataset('fashion-mnist', wrong({ dir: 'x' })),
    'verifyDataset: got a folder of type object, expected its path',
  ],
  'predictImages of a path in place of a list': [
    () => predictImages(model, info, wrong('a.png')),
    "predict: got 'a.png', expected an array of the paths of image files",
  ],
  'predictImagesOnnx of no path': [
    () => predictImagesOnnx(wrong(onnx), ['a.png', wrong(undefined)]),
    'predict: got undefined as file 1, expected the path of an image file',
  ],
  'predictImagesOnnx with a misspelt option': [
    () => predictImagesOnnx(wrong(onnx), [], wrong({ topk: 1 })),
    'predict: got the option `topk`, expected some of `topK`',
  ],
  'predictImagesOnnx on a device': [
    () => predictImagesOnnx(wrong(onnx), [], wrong({ device: 'cuda' })),
    'predict: got the option `device`',
  ],
  'profileModel of what is no model': [
    () => profileModel('a', wrong({}), { batch: 1 }),
    'profileModel: got an object, expected a model',
  ],
  'profileModel with a misspelt option': [
    () => profileModel('a', model, wrong({ batch: 1, pases: 3 })),
    'profileModel: got the option `pases`, expected some of `batch`, `precision`, `passes`',
  ],
  'profileModel without a batch': [
    () => profileModel('a', model, wrong({})),
    'profileModel: got options without `batch`, expected it to be given',
  ],
  'profileModel of no passes': [
    () => profileModel('a', model, { batch: 1, passes: 0 }),
    'profileModel: passes: got 0, expected an integer of at least 1.',
  ],
  'Ema with an object as its decay': [
    () => new Ema(model, wrong({ deca: 1 })),
    'Ema: decay: got an object, expected a number of at least 0 and below 1',
  ],
  'Ema with a decay of 1': [() => new Ema(model, 1), 'Ema: decay: got 1, expected'],
  'Ema with a decay that is no number': [() => new Ema(model, NaN), 'Ema: decay: got NaN'],
  'pruneOneShot without rates': [
    () => pruneOneShot(model, wrong({ importance: 'l2', ranking: 'global' })),
    'CutOptions: got options without `rates`, expected it to be given',
  ],
  'pruneOneShot with no rates': [
    () => pruneOneShot(model, { rates: {}, importance: 'l2', ranking: 'global' }),
    'CutOptions: got no rates, expected one for each kind',
  ],
  'pruneOneShot by an importance that there is not': [
    () => pruneOneShot(model, wrong({ rates: { ssm: 0.5 }, importance: 'l3' })),
    "importance: got 'l3', expected one of l1, l2, taylor",
  ],
  'pruneOneShot without a ranking': [
    () => pruneOneShot(model, wrong({ rates: { ssm: 0.5 }, importance: 'l1' })),
    'ranking: got nothing, expected one of global, layer',
  ],
  'pruneWithRefill without rates': [
    () => pruneWithRefill(model, wrong({ fillback: 0.1, refillScore: 'gradient' })),
    'RefillOptions: got options without `rates`',
  ],
  'pruneWithRefill with no rates': [
    () => pruneWithRefill(model, wrong({ fillback: 0.1, rates: {} })),
    'RefillOptions: got no rates',
  ],
  'unitsByNorm without rates': [
    () => unitsByNorm(model, model.pruningGroups(), wrong({ norm: 'l1', ranking: 'global' })),
    'NormCutOptions: got options without `rates`',
  ],
  'loadStateDict of an object': [
    () => model.loadStateDict(wrong({})),
    'loadStateDict: got object in place of the tensors, expected a Map of them by name',
  ],
  'trainRun with nothing': [
    () => trainRun(wrong({}), { out: '/nonexistent' }),
    'trainRun: got options without `arch`, `dataset`, `recipe`, expected them to be given',
  ],
  'trainRun without a data set': [
    () => trainRun(wrong({ arch: 'mamba_nano', recipe }), { out: '/nonexistent' }),
    'trainRun: got options without `dataset`, expected it to be given',
  ],
  'trainRun on a device that there is not': [
    () =>
      trainRun(
        { arch: 'mamba_nano', dataset: 'fashion-mnist', recipe },
        { out: '/nonexistent', device: 'gpu' },
      ),
    "trainRun: device: got 'gpu', expected cpu, cuda or cuda:N",
  ],
  'trainRun without a folder': [
    () =>
      trainRun(
        { arch: 'mamba_nano', model: {}, dataset: 'fashion-mnist', recipe },
        wrong(undefined),
      ),
    'trainRun: control: got undefined in place of the options',
  ],
  'pruneRun with nothing': [
    () => pruneRun(wrong({}), { out: '/nonexistent' }),
    'prune: got options without `model`, `rates`, `recipe`',
  ],
  'pruneRun without a folder': [
    () => pruneRun(wrong({}), wrong({})),
    'pruneRun: control: got options without `out`',
  ],
  'impRun with nothing': [
    () => impRun(wrong({}), wrong({ out: '/nonexistent' })),
    'impRun: got options without `arch`, `prune`',
  ],
  'impRun with a wrong plan inside': [
    () => impRun(wrong({ arch: 'mamba_nano', prune: {} }), wrong({ out: '/nonexistent' })),
    'prune: got options without `model`, `rates`, `recipe`',
  ],
  'compare with nothing': [
    () => compare(wrong({}), { out: '/nonexistent' }),
    'compare: got options without `train`, `finetune`, `seeds`',
  ],
  'writeEventFile of an object': [
    () => writeEventFile(wrong({})),
    'writeEventFile: got no run, expected what RunFolder.open gives',
  ],
  'exportOnnx without a model': [
    () => exportOnnx('/nonexistent/model.onnx', wrong({}), info),
    'ONNX export: got no model, expected one',
  ],
  'exportOnnx without information': [
    () => exportOnnx('/nonexistent/model.onnx', model, wrong({})),
    'ONNX export: got no information on the model',
  ],
  'exportOnnx without a path': [
    () => exportOnnx(wrong(model), wrong(info), wrong(undefined)),
    'exportOnnx: got object, expected the path of the file to write',
  ],
  'fetchFromHub with an object': [
    () => fetchFromHub(wrong({})),
    'fetchFromHub: got options without `repo`, `revision`',
  ],
  'fetchFromHub with nothing': [
    () => fetchFromHub(wrong(undefined)),
    'fetchFromHub: got undefined',
  ],
  'fetchFromHub with a misspelt option': [
    () => fetchFromHub('hf:lab/vim', wrong({ cachedir: 'x' })),
    'fetchFromHub: got the option `cachedir`',
  ],
};

describe('a wrong call is told what is wrong with it', () => {
  it.each(Object.entries(calls))('%s', async (name, [call, words]) => {
    const result = Promise.resolve().then(call);
    await expect(result).rejects.toThrow(words);
    // The engine, which has no such error, throws its own kind.
    const kind = name.startsWith('loadStateDict') ? TypeError : UsageError;
    await expect(result).rejects.toThrow(kind);
  });
});
