// What a family's functions give back is looked at before it is used.
import { type Tensor, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { benchmarkModels } from '../bench/bench.js';
import { benchModel } from '../bench/bench-model.js';
import { UsageError } from '../errors.js';
import { pruneModel } from '../pruning/surgery.js';
import { registerFamily } from './families.js';
import { checkLogits } from './family-results.js';
import type { ImageModel } from './image-model.js';
import { createModel } from './registry.js';
import { type OwnConfig, ownFamily } from './testing/own-family.js';

let made = 0;

/** A model of a family with other functions. @param change - makes of a good model another one */
function modelOf(
  more: object,
  change: (model: ImageModel) => unknown = (model) => model,
): ImageModel {
  const name = `wrong${made++}`;
  const good = ownFamily(name);
  const create = (config: OwnConfig) => change(good.create(config)) as ImageModel;
  registerFamily({ ...good, create, ...more });
  return createModel(`${name}_small`, { imageSize: 4, channels: 1 });
}

const groups = (more: object) => (model: ImageModel) => {
  const [group] = model.pruningGroups();
  return Object.assign(model, { pruningGroups: () => [{ ...group, ...more }] });
};

describe('a family whose', () => {
  it.each<[what: string, make: () => ImageModel, message: string]>([
    [
      'checkConfig gives nothing',
      () => modelOf({ checkConfig: () => undefined }),
      'checkConfig gave undefined',
    ],
    [
      'checkConfig is asynchronous',
      () => modelOf({ checkConfig: async () => Promise.resolve({}) }),
      'gave a promise',
    ],
    [
      'denseConfig gives nothing',
      () => modelOf({ denseConfig: () => undefined }),
      'denseConfig gave undefined',
    ],
    [
      'shapes give an object',
      () => modelOf({ shapes: () => ({}) }),
      'shapes gave an object, expected a Map',
    ],
    [
      'create gives nothing',
      () => modelOf({}, () => undefined),
      'create gave undefined, expected a model',
    ],
    [
      'create is asynchronous',
      () => modelOf({}, (model) => Promise.resolve(model)),
      'create gave a promise',
    ],
    [
      'model has no macs',
      () => modelOf({}, (model) => Object.assign(model, { macs: undefined })),
      "without the function 'macs'",
    ],
    [
      'model counts NaN',
      () =>
        modelOf({}, (model) => Object.assign(model, { macs: () => [{ name: 'a', macs: NaN }] })),
      "macs: 'a': got NaN, expected a number of at least 0",
    ],
    [
      'group has another kind',
      () => modelOf({}, groups({ kind: 'tokens' })),
      "got the kind 'tokens', expected one of mlp",
    ],
    [
      'group has no members',
      () => modelOf({}, groups({ members: undefined })),
      'members: got undefined',
    ],
    [
      'group is larger than its tensors',
      () => modelOf({}, groups({ size: 7 })),
      "got a tensor of shape [6, 16] for 'mlp.fc1.weight', expected one whose dimension 0 is 7 long at least",
    ],
  ])('%s is refused', (_, make, message) => {
    expect(make).toThrow(UsageError);
    expect(make).toThrow(message);
  });

  it('withWidths gives nothing is refused when it is cut', () => {
    const model = modelOf({}, (good) => Object.assign(good, { withWidths: () => undefined }));
    expect(() => pruneModel(model, new Map([['mlp', [0]]]))).toThrow(
      'withWidths of the model: got undefined, expected a model',
    );
  });

  it('forward gives no logits is not timed', async () => {
    const model = modelOf({}, (good) => Object.assign(good, { forward: () => undefined }));
    const timed = benchmarkModels([benchModel('wrong', model)], {
      batches: [1],
      inputShape: [1, 4, 4],
    });
    await expect(timed).rejects.toThrow('forward: got undefined from the model, expected logits');
  });
});

describe('checkLogits', () => {
  it.each<[shape: number[], isFit: boolean]>([
    [[2, 3], true],
    [[2, 4], true],
    [[2, 2], false],
    [[1, 3], false],
    [[2, 1, 3], false],
  ])('of two images and three classes: %j', (shape, isFit) => {
    const check = (): Tensor => checkLogits(zeros(shape), 2, 3);
    if (isFit) expect(check().shape).toEqual(shape);
    else expect(check).toThrow(`forward: got a tensor [${shape.join(', ')}] from the model`);
  });
});
