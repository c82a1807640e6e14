// What a card says of a model, of files of every family that were written long ago.
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { inspectModel } from '../../models/inspect.js';
import { type ModelInfo, loadModel } from '../../models/model-file.js';
import { factsOf, published } from './facts.js';

const earlier = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/earlier/${name}.safetensors`, import.meta.url));

const info = (history: ModelInfo['history']): ModelInfo => ({
  classes: ['a', 'b'],
  mean: [0.5],
  std: [0.5],
  history,
});

describe('what a card says of a pruned model', () => {
  it.each(['models/mamba-uni', 'models/mamba-bi', 'models/vit-narrow', 'models/resnet-basic'])(
    'has the MACs and parameters that %s had before it was cut',
    (name) => {
      const dense = inspectModel(loadModel(earlier(name)).model);
      const { model, info: own } = loadModel(earlier(`${name}-pruned`));
      const widths = Object.fromEntries(dense.groups.map((group) => [group.name, group.width]));
      // The file may not tell: here the history is that of any cut.
      const history = [{ step: 'prune', widthsBefore: widths }];
      const { units, macs, parameters } = factsOf(model, { ...own, history });
      expect(macs.before).toBe(dense.macs);
      expect(parameters.before).toBe(dense.parameters);
      const now = inspectModel(model);
      expect([macs.now, parameters.now]).toEqual([now.macs, now.parameters]);
      expect(now.macs).toBeLessThan(dense.macs);
      expect(units.length).toBeGreaterThan(0);
      for (const { before, now: left } of units) expect(left).toBeLessThan(before);
    },
  );

  it('has what a run of several rounds cut, and its accuracies from first to last', () => {
    const { model, info: own } = loadModel(earlier('runs/imp/model'));
    const facts = factsOf(model, own);
    expect(facts.units).toEqual([
      { kind: 'ssm', before: 16, now: 8 },
      { kind: 'mlp', before: 32, now: 12 },
    ]);
    const dense = inspectModel(loadModel(earlier('runs/imp/dense/model')).model);
    expect([facts.macs.before, facts.parameters.before]).toEqual([dense.macs, dense.parameters]);
    expect([facts.denseAccuracy, facts.accuracy]).toEqual([0.5625, 0.5625]);
  });
});

describe('what nobody measured', () => {
  it('is not said: a cut without training has no accuracy', () => {
    const { model, info: own } = loadModel(earlier('runs/imp/model'));
    const untrained = { ...own, history: own.history.slice(0, 2) };
    expect(factsOf(model, untrained).accuracy).toBeUndefined();
    expect(factsOf(model, { ...own, history: [] }).accuracy).toBeUndefined();
  });
});

describe('where a model comes from', () => {
  const { model } = loadModel(earlier('models/mamba-uni'));
  const source = `hf:timm/vit_tiny@${'a'.repeat(40)}:model.safetensors`;
  const from = `/home/me/.cache/huggingface/hub/models--lab--small/snapshots/${'b'.repeat(40)}/model.safetensors`;

  it('is the repository that was imported, or that the training began with', () => {
    expect(factsOf(model, info([{ step: 'import', source }])).baseModel).toBe('timm/vit_tiny');
    const both = info([
      { step: 'import', source },
      { step: 'train', from },
    ]);
    expect(factsOf(model, both).baseModel).toBe('lab/small');
    // The history in a folder for the hub is the published one.
    expect(factsOf(model, published(both)).baseModel).toBe('lab/small');
    expect(published(published(both))).toEqual(published(both));
    const file = info([{ step: 'train', from: '/home/me/dense.safetensors' }]);
    expect(factsOf(model, file).baseModel).toBeUndefined();
  });

  it('is told without the folders of this machine', () => {
    const steps = [
      { step: 'train', from },
      { step: 'train', from: '/home/me/dense.safetensors', epochs: 3 },
      { step: 'train', from: 'C:\\Users\\me\\dense.safetensors' },
      { step: 'import', source, file: 'model.safetensors' },
    ];
    expect(published({ ...info(steps), data: '/home/me/images' })).toEqual({
      ...info([
        { step: 'train', from: 'hf:lab/small' },
        { step: 'train', from: 'dense.safetensors', epochs: 3 },
        { step: 'train', from: 'dense.safetensors' },
        { step: 'import', source, file: 'model.safetensors' },
      ]),
      data: undefined,
    });
  });
});
